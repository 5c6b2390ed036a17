"""Tasks that wait for people: above all those whose worker was lost while tools ran."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import F

from apps.approvals import lifecycle as approvals
from apps.approvals.models import Approval
from apps.queue import leases, workers
from apps.queue.models import QueueEntry
from apps.tasks import journal, lifecycle
from apps.tasks.journal import Change, NewCheckpoint, Run
from apps.tasks.models import Checkpoint, Task
from apps.tenancy.models import App
from tests.support import functions
from tests.support.agents import apply, call, function_tool, one_llm_agent, submit
from tests.support.work import wait_for, working


def interrupted(app: App, tool: str, *, turn: dict[str, Any] | None = None, calls: int = 1, **options: Any) -> Task:
    """A task whose worker was lost while the tool ran; the lease is free again."""
    tools = {tool: function_tool(tool, **options), "look_up": function_tool("look_up", idempotent=True)}
    apply(app, one_llm_agent(turn or call(tool, amount=5), {"text": "Paid."}, tools=tools), by="tests")
    task = submit(app)
    with working():
        wait_for(lambda: functions.calls[tool] == calls, what="the tool started")
        # As after a frozen host: another worker has the entry now, and this one finds out at its next write.
        QueueEntry.objects.update(epoch=F("epoch") + 1)
    QueueEntry.objects.update(state="ready", worker=None, leased_at=None)
    return task


def waiting(app: App, *, keys: tuple[str, ...] = ("tool:1:a",), **options: Any) -> Task:
    """A task of the agent `agent` that waits for a decision about each of the calls, without anything having run."""
    calls = [approvals.Call(Approval.Kind.IN_DOUBT, key, "charge", {"amount": 5}) for key in keys]
    return asked(app, *calls, marks=[NewCheckpoint(Checkpoint.Kind.TOOL_STARTED, key, {}) for key in keys], **options)


def asked(app: App, *calls: approvals.Call, marks: Sequence[NewCheckpoint] = (), **options: Any) -> Task:
    """A task of the agent `agent` that waits for decisions about the calls, without anything having run."""
    task = submit(app, **options)
    worker = workers.register(slots=1)
    with transaction.atomic():
        claimed = leases.claim(worker.pk, 100)
        leases.give_back([lease for lease in claimed if lease.key != task.pk])
        mine = [lease for lease in claimed if lease.key == task.pk]
        [(lease, started)] = lifecycle.begin(app, mine, str(worker))
    run = Run(started.task.pk, started.task.agent, started.task.attempt, lease)
    with transaction.atomic():
        assert journal.commit(app, [Change(run, list(marks), settlement=approvals.ask(app, run, calls))]) == [None]
    workers.sign_off(worker.pk)
    task.refresh_from_db()
    return task
