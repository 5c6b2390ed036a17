"""The state of the session that a task is in, as Python functions read and write it.

    from apps.agents.session import session

    def count(value):
        state = session()
        state["seen"] = state.get("seen", 0) + 1

It is a mapping of JSON values by key, read when the function is called. What the function puts into it is kept if and
only if its result is, and at once with that: when the call is recorded, or the task of a function agent is completed.
What tasks of one session see of each other, their isolation says (`apps.sessions`).

The limit: a value that is changed in place has to be put again.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from apps.agents.errors import PermanentError

LONGEST_KEY = 200
DELETED: Any = object()
_current: ContextVar[SessionState | None] = ContextVar("session", default=None)


class NoSession(PermanentError):
    """The task was submitted without a session."""

    def __init__(self) -> None:
        super().__init__("no_session", "this task is in no session: submit it with one")


class StateRefused(ValueError):
    """What was to be put into the state of a session is not JSON, or too much; the text says which."""

    code = "state_refused"


def session() -> SessionState:
    """The state of the session of the task that runs. Raises NoSession."""
    state = _current.get()
    if state is None:
        raise NoSession
    return state


@contextmanager
def within(state: SessionState | None) -> Iterator[None]:
    """What runs in the block finds this state."""
    before = _current.set(state)
    try:
        yield
    finally:
        _current.reset(before)


class SessionState(MutableMapping[str, Any]):
    """What one call reads and writes. `changes`: by key, a value or DELETED. `read`: the keys looked at; None: all."""

    def __init__(self, values: Mapping[str, Any], revision: int, most: int) -> None:
        """`most`: bytes of JSON that all of it may have."""
        self._values = dict(values)
        self._most = most
        self._size = _size(self._values) if self._values else 0
        self.revision = revision
        self.changes: dict[str, Any] = {}
        self.read: set[str] | None = set()

    def __getitem__(self, key: str) -> Any:
        if self.read is not None:
            self.read.add(key)
        return copy.deepcopy(self._values[key])

    def __contains__(self, key: object) -> bool:
        if self.read is not None and isinstance(key, str):
            self.read.add(key)
        return key in self._values

    def __iter__(self) -> Iterator[str]:
        self.read = None
        return iter(list(self._values))

    def __len__(self) -> int:
        self.read = None
        return len(self._values)

    def __setitem__(self, key: str, value: Any) -> None:
        """Raises StateRefused."""
        _check_key(key)
        try:
            value = json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError) as error:
            raise StateRefused(f"{key!r} was not kept: it is not JSON: {error}") from None
        size = self._size + _size({key: value}) - (_size({key: self._values[key]}) if key in self._values else 0)
        if size > self._most:
            raise StateRefused(
                f"{key!r} was not kept: the state of a session may have {self._most:,} bytes of JSON, and this would be"
                f" {size:,} (HECTOR_SESSION_STATE_MAX)"
            )
        self._size = size
        self._values[key] = self.changes[key] = value

    def __delitem__(self, key: str) -> None:
        value = self._values.pop(key)
        self._size -= _size({key: value})
        self.changes[key] = DELETED

    def __repr__(self) -> str:
        return f"SessionState({len(self._values)} keys)"


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key.isprintable() or not 0 < len(key) <= LONGEST_KEY:
        raise StateRefused(f"a key is text of 1 to {LONGEST_KEY} characters, without control characters")


def _size(values: Mapping[str, Any]) -> int:
    return len(json.dumps(values))
