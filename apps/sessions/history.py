"""How much of a conversation a task begins with: its newest messages.

Whole turns are taken, for an answer without its question, or a call without its result, is refused by models; the
newest turn always. What a task does not begin with stays in the session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apps.agents.config.schema import History
from apps.sessions import store
from apps.sessions.models import Session
from apps.tasks.models import Task


@dataclass(frozen=True)
class Opened:
    """A session as a task finds it when it begins. The turns that it begins with: `first` to `last`."""

    session: Session
    first: int
    last: int

    def as_json(self) -> dict[str, Any]:
        """What the task's journal keeps of it."""
        session = self.session
        return {"session": str(session.pk), "revision": session.revision, "first": self.first, "last": self.last}


def open_for(task: Task, history: History) -> Opened:
    """What the task begins with, as the session is now; makes it if it is new."""
    session = store.session_of(task.agent, task.session)
    newest_first = store.turns(session.pk, 1, session.turns_total).only("seq", "messages").order_by("-seq")
    first, room = session.turns_total + 1, history.window
    for turn in newest_first[: history.window]:
        room -= turn.messages
        if room < 0 and turn.seq < session.turns_total:
            break
        first = turn.seq
    return Opened(session, first, session.turns_total)
