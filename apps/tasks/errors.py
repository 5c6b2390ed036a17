"""Why a task did not succeed, and why an operation on one was refused."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from apps.quotas.counting import OverLimit

_VARIABLE = re.compile(r"0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{16,}|\d+", re.IGNORECASE)
MAX_MESSAGE = 4000


@dataclass(frozen=True)
class TaskError:
    """What an attempt failed with. `code` is stable, `message` is for people and holds no secret."""

    code: str
    message: str
    retryable: bool = False
    retry_after: float | None = None  # seconds that the other side asked for
    traceback: str = ""  # for operators only; never part of `as_json`

    def as_json(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message[:MAX_MESSAGE], "retryable": self.retryable}

    def fingerprint(self, agent: str) -> str:
        """The same for errors that differ only in numbers and ids."""
        normal = _VARIABLE.sub("#", self.message[:MAX_MESSAGE])
        return hashlib.sha256(f"{agent}\n{self.code}\n{normal}".encode()).hexdigest()


class TaskOperationError(Exception):
    """An operation on a task was refused; nothing was changed."""

    code = "refused"


class IllegalTransition(TaskOperationError):
    """The task's state does not allow this."""

    code = "illegal_transition"


class UnknownAgent(TaskOperationError):
    """The App has no agent of this name."""

    code = "unknown_agent"


class NoLongerKept(TaskOperationError):
    """The task was there, and retention has removed it."""

    code = "no_longer_kept"

    def __init__(self, id: UUID) -> None:
        super().__init__(f"The task {id} has ended and is no longer kept.")


class InputInvalid(TaskOperationError):
    """The input does not fit the agent's input schema."""

    code = "input_invalid"


class NotUnique(TaskOperationError):
    """Another task has this unique key; `holder` is its id, if it is still known."""

    code = "not_unique"

    def __init__(self, key: str, holder: UUID | None) -> None:
        who = f"the task {holder} has it" if holder else "the task that had it has ended just now: try again"
        super().__init__(f"the unique_key {key!r} is taken: {who}")
        self.holder = holder


class TooMuch(OverLimit, TaskOperationError):
    """A limit or a budget of the App, or of the token, lets no further task in for now."""


class NotResumable(TaskOperationError):
    """A task cannot go on from this checkpoint; the message has those that it can."""

    code = "not_resumable"


class NoNewestVersion(TaskOperationError):
    """The task's agent is no longer in the App, so it has no newest version."""

    code = "no_newest_version"
