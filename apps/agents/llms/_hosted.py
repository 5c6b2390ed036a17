"""What the providers that are reached over HTTP have in common: the key, and the settings of a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from apps.agents import registry
from apps.agents.errors import PermanentError

if TYPE_CHECKING:
    from pydantic_ai.settings import ModelSettings


def _http_url(url: str) -> str:
    if not url.startswith(("http://", "https://", "${")):
        raise ValueError("write an address that begins with http:// or https://")
    return url


BaseUrl = Annotated[str, AfterValidator(_http_url)]


def settings(spec: registry.LLMSpec) -> ModelSettings:
    """One attempt per request: retrying is Hector's part, so that a 429 reaches it with its Retry-After.

    `timeout` stops a client that waits for bytes, `request_timeout` one that is fed them too slowly.
    """
    chosen: ModelSettings = {"timeout": spec.timeout, "request_timeout": spec.timeout, "max_retries": 0}
    if spec.temperature is not None:
        chosen["temperature"] = spec.temperature
    if spec.max_tokens is not None:
        chosen["max_tokens"] = spec.max_tokens
    return chosen


def key(reference: str, context: registry.BuildContext) -> str:
    """The API key behind `reference`; never empty, for the SDKs would then take one from the worker's environment."""
    value = context.resolve(reference)
    if not value:
        raise PermanentError("bad_config", f"The API key of this model, {reference or 'api_key'}, is empty")
    return value
