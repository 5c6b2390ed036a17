"""`provider: anthropic`: Anthropic's Messages API, or a proxy of it at a `base_url`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from apps.agents import registry
from apps.agents.llms import _hosted

if TYPE_CHECKING:
    from pydantic_ai.models import Model


class AnthropicSpec(registry.LLMSpec):
    model: str = Field(min_length=1)
    base_url: _hosted.BaseUrl = "https://api.anthropic.com"
    api_key: str = Field(min_length=1)


def build(spec: AnthropicSpec, context: registry.BuildContext) -> Model:
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.providers.anthropic import AnthropicProvider

    provider = AnthropicProvider(api_key=_hosted.key(spec.api_key, context), base_url=context.resolve(spec.base_url))
    return AnthropicModel(spec.model, provider=provider, settings=_hosted.settings(spec))


def register() -> None:
    registry.register_provider(registry.Provider("anthropic", AnthropicSpec, build))
