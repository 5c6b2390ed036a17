"""`provider: ollama`: a local Ollama, through its OpenAI-compatible address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from apps.agents import registry
from apps.agents.llms import _hosted

if TYPE_CHECKING:
    from pydantic_ai.models import Model


class OllamaSpec(registry.LLMSpec):
    model: str = Field(min_length=1)
    base_url: _hosted.BaseUrl = "http://localhost:11434/v1"
    api_key: str = "none"  # Ollama wants none, but a proxy in front of it may


def build(spec: OllamaSpec, context: registry.BuildContext) -> Model:
    from pydantic_ai.models.ollama import OllamaModel
    from pydantic_ai.providers.ollama import OllamaProvider

    provider = OllamaProvider(base_url=context.resolve(spec.base_url), api_key=_hosted.key(spec.api_key, context))
    return OllamaModel(spec.model, provider=provider, settings=_hosted.settings(spec))


def register() -> None:
    registry.register_provider(registry.Provider("ollama", OllamaSpec, build))
