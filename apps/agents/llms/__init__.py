"""The model providers, one module each; `chain` builds models of them.

Registering is cheap: the SDKs take seconds and many megabytes to import, so each is imported with the first model
that needs it.
"""

from __future__ import annotations

from apps.agents.llms import anthropic, gemini, ollama, openai, scripted


def register() -> None:
    for provider in (openai, anthropic, gemini, ollama, scripted):
        provider.register()
