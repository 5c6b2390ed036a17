"""A run's part in its session: the conversation that it begins with, the state that its calls see, what it leaves.

The journal pins what the task has begun with, so every attempt goes on from the same. What an isolated run writes is
in its journal only; what the others write goes to the session with the record of the call that wrote it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    repair_messages,
)

from apps.agents.config.schema import History
from apps.agents.errors import PermanentError
from apps.agents.session import DELETED, SessionState
from apps.execution.journal import Kept, RunJournal
from apps.queue.handler import Job
from apps.sessions import history, store
from apps.sessions.models import Session
from apps.sessions.store import Messages, Seen
from apps.tasks.lifecycle import Started
from apps.tasks.models import Isolation, Task
from apps.tenancy.context import in_app
from apps.tenancy.models import App


class SessionGone(PermanentError):
    """The conversation that the task goes on from was deleted in the meantime."""

    def __init__(self) -> None:
        super().__init__("session_gone", "the session that this task goes on from was deleted: submit it anew")


class RunSession:
    """The session of one run. Belongs to the run's event loop, like its journal."""

    def __init__(self, job: Job, task: Task, journal: RunJournal, earlier: list[ModelMessage]) -> None:
        """After the journal has what the task has of its session."""
        self.earlier = earlier
        self._job, self._task = job, task
        self._id = UUID(journal.session["session"])
        self._seen = Seen(journal.session["revision"])
        self._own: dict[str, Any] | None = journal.session.get("state")  # the copy of an isolated run
        for call in journal.session_calls:
            self._seen.look(call["revision"], call["read"])
            self._change_own(call["wrote"], call["deleted"])

    async def look(self) -> SessionState:
        """The state as it is now, for one call."""
        most = settings.HECTOR_SESSION_STATE_MAX
        if self._own is not None:
            return SessionState(self._own, self._seen.revision, most)
        values, revision = await self._job.database.call(_state, self._job.app, self._id)
        return SessionState(values, revision, most)

    def keep(self, state: SessionState) -> Kept:
        """Takes to heart what a call has read and written."""
        read = None if state.read is None else sorted(state.read)
        self._seen.look(state.revision, read)
        wrote = {key: value for key, value in state.changes.items() if value is not DELETED}
        deleted = [key for key in state.changes if key not in wrote]
        write = None
        if self._own is not None:
            self._change_own(wrote, deleted)
        elif state.changes:
            write = partial(store.put, self._id, self._task.pk, state.changes, self._seen.copy())
            wrote, deleted = {}, []
        if read == [] and not wrote and not deleted:
            return Kept({}, write)
        return Kept({"revision": state.revision, "read": read, "wrote": wrote, "deleted": deleted}, write)

    def _change_own(self, wrote: dict[str, Any], deleted: Sequence[str]) -> None:
        if self._own is not None:
            self._own.update(wrote)
            for key in deleted:
                self._own.pop(key, None)

    def add_turn(self, said: Sequence[ModelMessage], output: Any) -> Callable[[], object] | None:
        """What writes these messages into the conversation, the result at their end; None if this run leaves none."""
        if self._own is not None:
            return None
        return partial(store.add_turn, self._id, self._task.pk, _as_turn(said, output))


async def for_conversation(job: Job, started: Started, journal: RunJournal) -> RunSession:
    """Opens the session for an agent that converses. Raises SessionGone."""
    task = started.task
    found = await job.database.call(_open, job.app, task, started.spec.history, journal.session)
    journal.session_opened(UUID(found["session"]), found)
    messages = await job.database.call(_conversation, job.app, found)
    return RunSession(job, task, journal, messages)


async def for_function(job: Job, started: Started, journal: RunJournal) -> RunSession:
    """The same for one that is a single call: every attempt begins anew, and its journal stays empty."""
    task = started.task
    found = await job.database.call(_open, job.app, task, started.spec.history, {})
    journal.session = found
    journal.run = replace(journal.run, session=UUID(found["session"]))
    return RunSession(job, task, journal, [])


# --- In the database thread -----------------------------------------------------------------------------------------
def _open(app: App, task: Task, wanted: History, pinned: dict[str, Any]) -> dict[str, Any]:
    """What the task has of its session: what is pinned already, or what it finds now."""
    isolated = task.isolation == Isolation.ISOLATED
    if pinned and (not isolated or "state" in pinned):
        return pinned
    with in_app(app):
        opened = history.open_for(task, wanted)
        copy = {"state": store.values(opened.session)} if isolated else {}
        return {**opened.as_json(), **pinned, **copy}  # the conversation of a fork is that of its parent


def _conversation(app: App, pinned: dict[str, Any]) -> list[ModelMessage]:
    first, last = pinned["first"], pinned["last"]
    with in_app(app):
        turns: list[Messages] = [turn.content for turn in store.turns(UUID(pinned["session"]), first, last)]
    if len(turns) != last - first + 1:
        raise SessionGone
    messages = ModelMessagesTypeAdapter.validate_python([message for turn in turns for message in turn])
    return repair_messages(messages)  # as Pydantic AI does: what it is given is what it goes on with


def _state(app: App, session_id: UUID) -> tuple[dict[str, Any], int]:
    with in_app(app):
        session = Session.objects.filter(pk=session_id).first()
        if session is None:
            raise SessionGone
        return store.values(session), session.revision


# --- What is kept of a run ------------------------------------------------------------------------------------------
def _as_turn(said: Sequence[ModelMessage], output: Any) -> Messages:
    """The messages without what only this run was told, ending with the result as the model's text.

    A structured result is given as a call of a tool that later versions of the agent may not have.
    """
    kept: list[ModelMessage] = [
        replace(message, instructions=None) if isinstance(message, ModelRequest) else message for message in said
    ]
    while kept and not isinstance(kept[-1], ModelResponse):
        kept.pop()
    last = kept[-1]
    assert isinstance(last, ModelResponse)
    if any(isinstance(part, ToolCallPart) for part in last.parts):
        text = output if isinstance(output, str) else json.dumps(output, ensure_ascii=False)
        parts = [part for part in last.parts if not isinstance(part, ToolCallPart | TextPart)]
        kept[-1] = replace(last, parts=[*parts, TextPart(text)])
    messages: Messages = ModelMessagesTypeAdapter.dump_python(kept, mode="json")
    return messages
