"""What can go wrong between a program and Hector, as classes.

An answer that is an error becomes the class of its `code` (RFC 9457: the end of `type`), else that of its status; each
is a kind of the class of its status, so a program catches as closely as it cares to. What a client cannot reach, or
waits for in vain, is not an answer and has classes of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

PREFIX = "urn:hector:problem:"


class HectorError(Exception):
    """Whatever this package raises."""


class Unreachable(HectorError):
    """No answer came: the address, the network or the server. Whether a request arrived is unknown."""


class NotFinished(HectorError, TimeoutError):
    """The task has not ended within the time that one would wait; it goes on."""

    def __init__(self, task_id: str, status: str, seconds: float) -> None:
        super().__init__(f"the task {task_id} is {status} after {seconds:g} s")
        self.task_id, self.status = task_id, status


class APIError(HectorError):
    """Hector refused the request, or could not answer it."""

    of_code: ClassVar[str] = ""  # the code that this class stands for; none: any

    def __init__(self, status: int, problem: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.status = status
        self.code = _code(problem)
        self.detail = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.errors: list[dict[str, str]] = list(problem.get("errors") or [])
        self.request_id = headers.get("x-request-id", "")
        self.location = headers.get("location", "")
        self.retry_after = _seconds(headers.get("retry-after", ""))
        super().__init__(self.sentence)

    @property
    def sentence(self) -> str:
        """The detail, and where there are several faults, each of them with its place."""
        if len(self.errors) < 2:
            return self.detail
        return "\n".join([self.detail, *(f"  {fault['pointer']}: {fault['detail']}" for fault in self.errors)])


class BadRequest(APIError):
    """The request is wrong; `errors` names every fault by its JSON pointer."""


class NotAuthenticated(APIError):
    """There is no token, or it is not good (any more)."""


class Forbidden(APIError):
    """The token is good, but not for this."""


class NotFound(APIError):
    """There is no such object, or it belongs to another App."""


class NoLongerKept(APIError):
    """The object was there; retention has removed it."""

    of_code = "no_longer_kept"


class Conflict(APIError):
    """The object's state does not allow this, or a name is taken."""


class TooLarge(APIError):
    """The body is over the limit."""


class KeyReused(APIError):
    """The Idempotency-Key came with another body before."""

    of_code = "idempotency_key_reused"


class TooManyRequests(APIError):
    """Too many tries; `retry_after` says how many seconds to wait."""


class ServerError(APIError):
    """Something went wrong there; its log has it under `request_id`."""


class Unavailable(ServerError):
    """The database is away, the server is stopping, or too many streams are open. Try again after `retry_after`."""


class UnknownAgent(BadRequest):
    """The App has no agent of this name."""

    of_code = "unknown_agent"


class InputInvalid(BadRequest):
    """The input does not fit the agent's input schema."""

    of_code = "input_invalid"


class NotResumable(BadRequest):
    """A task cannot go on from this checkpoint."""

    of_code = "not_resumable"


class DecisionInvalid(BadRequest):
    """The decision's arguments or answer do not fit."""

    of_code = "decision_invalid"


class AppSuspended(Forbidden):
    """The App is suspended: nothing of it starts."""

    of_code = "app_suspended"


class AppGone(Forbidden):
    """The App of the token is not there any more."""

    of_code = "app_gone"


class NotEntitled(Forbidden):
    """The approval's policy means others."""

    of_code = "not_entitled"


class IllegalTransition(Conflict):
    """The task's state does not allow this."""

    of_code = "illegal_transition"


class NotUnique(Conflict):
    """Another task has this unique key; `holder` is its id, if it is known."""

    of_code = "not_unique"

    @property
    def holder(self) -> str | None:
        return self.location.rpartition("/")[2] or None


class AlreadyDecided(Conflict):
    """Somebody was faster, or the task has ended."""

    of_code = "already_decided"


class Expired(Conflict):
    """The time to decide is over."""

    of_code = "expired"


class SessionBusy(Conflict):
    """Tasks of the session have not ended."""

    of_code = "session_busy"


class RevisionConflict(Conflict):
    """Another revision of the configuration came since the one that was looked at."""

    of_code = "revision_conflict"


_OF_STATUS: dict[int, type[APIError]] = {
    400: BadRequest,
    401: NotAuthenticated,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: NoLongerKept,
    413: TooLarge,
    422: KeyReused,
    429: TooManyRequests,
    503: Unavailable,
}


def _kinds(of: type[APIError]) -> dict[str, type[APIError]]:
    inner = [kind for child in of.__subclasses__() for kind in _kinds(child).items()]
    return ({of.of_code: of} if of.of_code else {}) | dict(inner)


def error_of(status: int, problem: Mapping[str, Any], headers: Mapping[str, str]) -> APIError:
    """The error that an answer of 400 or above stands for; `headers` have names in lower case."""
    general = _OF_STATUS.get(status, ServerError if status >= 500 else APIError)
    return _kinds(APIError).get(_code(problem), general)(status, problem, headers)


def _code(problem: Mapping[str, Any]) -> str:
    kind = str(problem.get("type", ""))
    return kind.removeprefix(PREFIX) if kind.startswith(PREFIX) else ""


def _seconds(text: str) -> float | None:
    return float(text) if text.isdecimal() else None
