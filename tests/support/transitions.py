"""What a worker does with a task, step by step, without running anything."""

from __future__ import annotations

from apps.queue import leases
from apps.queue.errors import LostLease
from apps.queue.models import Worker
from apps.tasks import journal, lifecycle
from apps.tasks.journal import Change, Run, Settlement
from apps.tasks.models import Task
from apps.tenancy.models import App


def start(app: App, worker: Worker) -> Run | None:
    """Claims one task and begins it; None if there was none to run."""
    runs = [
        Run(started.task.pk, started.task.agent, started.task.attempt, lease)
        for lease, started in lifecycle.begin(app, leases.claim(worker.pk, 1), str(worker))
    ]
    return runs[0] if runs else None


def settle(app: App, run: Run, settlement: Settlement) -> LostLease | None:
    return journal.commit(app, [Change(run, settlement=settlement)])[0]


def fresh(task: Task) -> Task:
    task.refresh_from_db()
    return task
