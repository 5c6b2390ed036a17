"""`provider: openai`: OpenAI, and any server that speaks its chat-completions protocol at a `base_url`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from apps.agents import registry
from apps.agents.llms import _hosted

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from pydantic_ai.models import Model
    from pydantic_ai.providers import Provider


class OpenAISpec(registry.LLMSpec):
    model: str = Field(min_length=1)
    base_url: _hosted.BaseUrl | None = None
    api_key: str | None = None  # a server of one's own may need none

    @model_validator(mode="after")
    def _openai_needs_a_key(self) -> Self:
        if self.base_url is None and not self.api_key:
            raise ValueError("give an `api_key` (a reference such as ${secret:OPENAI_API_KEY}), or a `base_url`")
        return self


def build(spec: OpenAISpec, context: registry.BuildContext) -> Model:
    from pydantic_ai.models.openai import OpenAIChatModel

    return OpenAIChatModel(spec.model, provider=_provider(spec, context), settings=_hosted.settings(spec))


def _provider(spec: OpenAISpec, context: registry.BuildContext) -> Provider[AsyncOpenAI]:
    from pydantic_ai.profiles.openai import OpenAIModelProfile
    from pydantic_ai.providers.openai import OpenAIProvider
    from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

    api_key = _hosted.key(spec.api_key, context) if spec.api_key else None
    if spec.base_url is None:
        return OpenAIProvider(base_url="https://api.openai.com/v1", api_key=api_key)
    # Unlike OpenAIProvider it never takes a key from the environment, so the operator's goes to no one else.
    # `max_tokens` is the older name of the field, which all these servers know.
    return OpenAICompatibleProvider(
        "openai-compatible",
        base_url=context.resolve(spec.base_url),
        api_key=api_key,
        profile=OpenAIModelProfile(openai_chat_supports_max_completion_tokens=False),
    )


def register() -> None:
    registry.register_provider(registry.Provider("openai", OpenAISpec, build))
