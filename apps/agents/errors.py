"""What tools and handlers may raise on purpose, and what any error of a run means for its task.

Messages are scrubbed of the secrets given and of whatever looks like a credential; a secret that is neither given
nor recognisable cannot be found.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

from hector_site.redaction import MASK, redacted

MESSAGE_LIMIT: Final = 2000
SHORTEST_MASKED: Final = 6  # characters


class HectorToolError(Exception):
    """An error that says itself whether another attempt can help; tools and handlers may raise its two kinds."""

    retryable: bool

    def __init__(self, code: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


class RetryableError(HectorToolError):
    """This attempt failed; another one may succeed, not before `retry_after` seconds."""

    retryable = True


class PermanentError(HectorToolError):
    """This cannot succeed however often it is tried."""

    retryable = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)


@dataclass(frozen=True)
class Failure:
    """An attempt's end, as it is stored, shown and retried by."""

    code: str
    message: str
    retryable: bool
    retry_after: float | None = None  # seconds that the other side asked to wait


def scrub(text: str, secrets: Collection[str] = ()) -> str:
    """`text` without the given secrets and without what looks like a credential."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = redacted(text)
    return text if len(text) <= MESSAGE_LIMIT else text[:MESSAGE_LIMIT] + " …"


def masked(value: Any, secrets: Collection[str]) -> Any:
    """JSON without the given secrets, those aside that are so short that they may stand in any text by chance."""
    match value:
        case str():
            for secret in sorted(secrets, key=len, reverse=True):
                if len(secret) >= SHORTEST_MASKED:
                    value = value.replace(secret, MASK)
            return value
        case list():
            return [masked(item, secrets) for item in value]
        case dict():
            return {masked(key, secrets): masked(item, secrets) for key, item in value.items()}
    return value


def classify(error: BaseException, *, secrets: Collection[str] = ()) -> Failure:
    """What `error` means for the task: a stable code, a message without secrets, and whether to try again."""
    from apps.agents.failures import judge  # knows Pydantic AI, which handlers that import this module need not load

    failure = judge(error)
    return replace(failure, message=scrub(failure.message, secrets))
