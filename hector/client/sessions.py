"""Sessions: what an agent's tasks that name the same one have in common."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from hector.client.calls import Call, Group, Page, Record, given, listing, operation, path
from hector.client.connection import Async, Sync

C = TypeVar("C", Sync, Async)


class Session(Record):
    """`session` is its name, as tasks give it."""

    id: str
    agent: str
    session: str
    turns: int
    state_bytes: int
    revision: int
    created_at: datetime
    updated_at: datetime


class WholeSession(Session):
    state: dict[str, Any]


class Turn(Record):
    """What one task has added to the conversation; `messages` None: a list leaves them out, being large."""

    seq: int
    task: str
    messages: list[dict[str, Any]] | None
    size: int
    created_at: datetime


class WholeTurn(Turn):
    messages: list[dict[str, Any]]


class Sessions(Group[C]):
    @listing("list_sessions")
    def list(
        self, *, agent: str | None = None, session: str | None = None, limit: int | None = None
    ) -> Call[Page[Session]]:
        """Sessions, the newest first."""
        return Call(Page[Session], "GET", "/sessions", given(agent=agent, session=session, limit=limit))

    @operation("get_session")
    def get(self, id: str) -> Call[WholeSession]:
        return Call(WholeSession, "GET", path("/sessions/{}", id))

    @listing("list_session_turns")
    def turns(self, id: str, *, limit: int | None = None) -> Call[Page[Turn]]:
        """The whole conversation, the oldest turn first."""
        return Call(Page[Turn], "GET", path("/sessions/{}/turns", id), given(limit=limit))

    @operation("get_session_turn")
    def turn(self, id: str, seq: int) -> Call[WholeTurn]:
        return Call(WholeTurn, "GET", path("/sessions/{}/turns/{}", id, seq))

    @operation("delete_session")
    def delete(self, id: str) -> Call[None]:
        """Deletes the conversation and the state; raises SessionBusy while tasks of it have not ended."""
        return Call(type(None), "DELETE", path("/sessions/{}", id))
