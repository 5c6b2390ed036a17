"""`provider: gemini`: Google's Gemini API, or a proxy of it at a `base_url`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from apps.agents import registry
from apps.agents.llms import _hosted

if TYPE_CHECKING:
    from pydantic_ai.models import Model


class GeminiSpec(registry.LLMSpec):
    model: str = Field(min_length=1)
    base_url: _hosted.BaseUrl = "https://generativelanguage.googleapis.com"
    api_key: str = Field(min_length=1)


def build(spec: GeminiSpec, context: registry.BuildContext) -> Model:
    from pydantic_ai.models.google import GoogleModel
    from pydantic_ai.providers.google import GoogleProvider

    provider = GoogleProvider(api_key=_hosted.key(spec.api_key, context), base_url=context.resolve(spec.base_url))
    return GoogleModel(spec.model, provider=provider, settings=_hosted.settings(spec))


def register() -> None:
    registry.register_provider(registry.Provider("gemini", GeminiSpec, build))
