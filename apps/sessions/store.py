"""What sessions hold: read by runs, and changed by them in the transactions that record what they do.

- The conversation: a task that is completed adds one turn, so tasks that run at the same time lose nothing of each
  other's; turns stand in the order in which their tasks were completed.
- The state: of two tasks that write the same key the last one wins, key by key. Who overwrites what another task has
  written since it last looked, has that in its events (`state_changed` with `conflict`).

All functions are called inside the session's App. Those that change something lock the session's row, after the task's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from apps.agents.session import DELETED
from apps.queue.faults import Point, reach
from apps.sessions.errors import SessionBusy
from apps.sessions.models import Session, Turn
from apps.tasks import checkpoints
from apps.tasks.events import EventType, NewEvent, announce, record
from apps.tasks.models import LIVE, Task

Messages = list[dict[str, Any]]
MOST_GONE = 1000  # keys that are no more, of which it is known who took them out


@dataclass
class Seen:
    """Up to which revision a run knows the state: all of it, and some keys further."""

    revision: int = 0
    keys: dict[str, int] = field(default_factory=dict)

    def of(self, key: str) -> int:
        return max(self.revision, self.keys.get(key, 0))

    def look(self, revision: int, keys: Sequence[str] | None) -> None:
        """At these keys, or (None) at everything."""
        if keys is None:
            self.revision = max(self.revision, revision)
        else:
            self.keys |= dict.fromkeys(keys, revision)

    def copy(self) -> Seen:
        return Seen(self.revision, dict(self.keys))


def session_of(agent: str, name: str) -> Session:
    """The agent's session of that name, which there is from now on."""
    return Session.objects.get_or_create(agent=agent, name=name)[0]


def values(session: Session) -> dict[str, Any]:
    """The state."""
    found: dict[str, Any] = session.content or {}
    return found


def turns(session_id: UUID, first: int, last: int) -> QuerySet[Turn]:
    return Turn.objects.filter(session=session_id, seq__gte=first, seq__lte=last).order_by("seq")


def add_turn(session_id: UUID, task_id: UUID, messages: Messages) -> None:
    """In the transaction that completes the task."""
    session = _lock(session_id)
    Turn.objects.create(
        session=session, seq=session.turns_total + 1, task=task_id, messages=len(messages), **_kept(messages)
    )
    Session.objects.filter(pk=session_id).update(turns_total=session.turns_total + 1, updated_at=Now())
    reach(Point.TURN_WRITES)


def put(session_id: UUID, task_id: UUID, changes: Mapping[str, Any], seen: Seen) -> None:
    """Changes the state, in the transaction that records what the task did. DELETED takes a key out."""
    session = _lock(session_id)
    state = values(session)
    overwritten = [
        {"key": key, "task": by}
        for key in changes
        for revision, by in [session.marks.get(key, (0, ""))]
        if revision > seen.of(key) and by != str(task_id)
    ]
    for key, value in changes.items():
        state.pop(key, None) if value is DELETED else state.update({key: value})
    revision = session.revision + 1
    marks = session.marks | {key: [revision, str(task_id)] for key in changes}
    if len(marks) > len(state) + MOST_GONE:
        marks = {key: mark for key, mark in marks.items() if key in state or key in changes}
    Session.objects.filter(pk=session_id).update(revision=revision, marks=marks, updated_at=Now(), **_kept(state))
    said: dict[str, Any] = {"session": session.name, "keys": sorted(changes), "revision": revision}
    if overwritten:
        said |= {"conflict": True, "overwritten": overwritten}
    record(task_id, NewEvent(EventType.STATE_CHANGED, said))
    reach(Point.STATE_WRITES)


@transaction.atomic
def delete(session: Session, *, by: str, reason: str = "") -> None:
    """Deletes the conversation and the state. The tasks' own records stay. Raises SessionBusy."""
    session = _lock(session.pk)
    live = Task.objects.filter(session=session.name, agent=session.agent, status__in=LIVE).count()
    if live:
        raise SessionBusy(f"{live} of the session's tasks have not ended: cancel them or wait until they have")
    said = {"agent": session.agent, "session": session.name, "turns": session.turns_total}
    session.delete()
    announce(NewEvent(EventType.SESSION_DELETED, said | ({"reason": reason} if reason else {}), by))


def _kept(value: Any) -> dict[str, Any]:
    """The columns of a value that is kept."""
    stored = checkpoints.pack(value)
    return {"value": None if stored.value is None else value, "packed": stored.packed, "size": stored.size}


def _lock(session_id: UUID) -> Session:
    return Session.objects.select_for_update().get(pk=session_id)
