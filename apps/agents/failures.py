"""What went wrong in an attempt, and whether trying again can help; `apps.agents.errors.classify` is the way in.

Every exception of a run becomes a `Failure` with a stable code. Retryable are timeouts, lost connections
and the answers 408, 409, 425, 429 and 5xx; permanent are a refused request or credential, a spent quota, a broken
configuration, a reached limit and a model that misbehaves. What nobody thought of is retryable: the attempts are
counted, so a bug costs a few of them and ends in the dead letters all the same.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any, Final

import httpx2
from pydantic import ValidationError
from pydantic_ai import exceptions as ai

from apps.agents.errors import Failure, HectorToolError

RETRYABLE_STATUSES: Final = frozenset({408, 409, 425, 429})


def judge(error: BaseException) -> Failure:
    """The failure, its message not yet scrubbed."""
    match error:
        case HectorToolError():
            return Failure(error.code, error.message, error.retryable, error.retry_after)
        case BaseExceptionGroup():
            return _worst_hope([judge(inner) for inner in error.exceptions])
        case ai.ModelAPIError():
            return _model_api(error)
        case ai.UnexpectedModelBehavior():
            return Failure("model_misbehaved", _chain_text(error), retryable=False)
        case ai.UserError():
            return Failure("bad_config", error.message, retryable=False)
        case ValidationError():
            return Failure("invalid", str(error), retryable=False)
        case httpx2.HTTPStatusError():
            status = error.response.status_code
            return _http_status(status, f"the server answered {status}")
        case httpx2.TimeoutException() | TimeoutError():
            return Failure("timed_out", _text(error), retryable=True)
        case httpx2.TransportError() | ConnectionError() | ssl.SSLError():
            return Failure("connection_failed", _text(error), retryable=True)
    return Failure("unexpected", _text(error), retryable=True)


def _model_api(error: ai.ModelAPIError) -> Failure:
    message = _answer(error) if isinstance(error, ai.ModelHTTPError) else error.message
    match error:
        case ai.ModelQuotaExceededError():
            return Failure("quota_exhausted", message, retryable=False)
        case ai.ModelTimeoutError() | ai.ModelRequestTimeout():
            return Failure("timed_out", message, retryable=True, retry_after=error.retry_after)
        case ai.ModelHTTPError():
            return _http_status(error.status_code, message, error.retry_after)
        case ai.ModelRequestRejectedError():
            return Failure("rejected", message, retryable=False)
        case ai.ModelRateLimitError():
            return Failure("rate_limited", message, retryable=True, retry_after=error.retry_after)
        case ai.ModelConnectionError():
            return Failure("connection_failed", message, retryable=True, retry_after=error.retry_after)
    return Failure("server_error", message, retryable=True, retry_after=error.retry_after)


def _answer(error: ai.ModelHTTPError) -> str:
    """What the provider answered, and of its body the part that is for people, if one can be told."""
    said: Any = error.body
    while isinstance(said, dict) and (inner := said.get("error") or said.get("message")):
        said = inner
    hint = f" (is it {error.suggested_model_id}?)" if error.suggested_model_id else ""
    return f"the model {error.model_name} answered {error.status_code}{f': {said}' if said else ''}{hint}"


def _http_status(status: int, message: str, retry_after: float | None = None) -> Failure:
    retryable = status in RETRYABLE_STATUSES or status >= 500
    if status == 429:
        code = "rate_limited"
    elif status in (401, 403):
        code = "not_authorised"
    elif status == 404:
        code = "not_found"
    elif status >= 500:
        code = "server_error"
    else:
        code = "unavailable" if retryable else "rejected"
    return Failure(code, message, retryable, retry_after if retryable else None)


def _worst_hope(failures: list[Failure]) -> Failure:
    """The failure to go by when several models failed: one that may pass beats one that will not."""
    retryable = [failure for failure in failures if failure.retryable]
    chosen = min(retryable, key=lambda failure: failure.retry_after or 0.0) if retryable else failures[0]
    message = "; ".join(dict.fromkeys(failure.message for failure in failures))
    return Failure(chosen.code, message, chosen.retryable, chosen.retry_after)


def _chain_text(error: BaseException) -> str:
    """The error and what caused it: `exceeded max retries` alone does not say what the model did wrong."""
    return ": ".join(dict.fromkeys(_text(link) for link in _causes(error)))


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
