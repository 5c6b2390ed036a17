"""The recovery sweep: tasks are the truth, queue entries are derived from them, and this makes them agree again.

They are written in one transaction, but SQLite commits an App's file and the shared one separately, the App's first;
a machine that stops between the two leaves a task without its entry, or an entry whose task is over. So it is with
operations, and with events that are to be handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import transaction

from apps.queue import entries, sql
from apps.tasks import lifecycle, operations, outbox
from apps.tasks.models import Operation, Task
from apps.tenancy.context import in_app
from apps.tenancy.models import App

log = structlog.get_logger(__name__)
BATCH = 500
repairers: list[Callable[[App], Repairs]] = []  # of what apps above this one keep in the queue


@dataclass(frozen=True)
class Repairs:
    enqueued: int = 0  # tasks, operations, unread events and the like that had no entry
    removed: int = 0  # entries that had nothing to run

    def __add__(self, other: Repairs) -> Repairs:
        return Repairs(self.enqueued + other.enqueued, self.removed + other.removed)


def sweep() -> int:
    """Repairs every App; how many rows were repaired."""
    repairs = sum((repair(app) for app in App.objects.exclude(status=App.Status.DELETING)), Repairs())
    return repairs.enqueued + repairs.removed


def repair(app: App) -> Repairs:
    """Makes one App's queue entries agree with its tasks."""
    with in_app(app), transaction.atomic():
        enqueued = _enqueue_missing(app) + _enqueue_operations(app) + _enqueue_outbox(app)
        lifecycle.count_waiting(app)
        repairs = Repairs(enqueued, _remove_orphans(app))
        repairs = sum((repairer(app) for repairer in repairers), repairs)
    if repairs != Repairs():
        log.warning("queue_repaired", app=app.name, enqueued=repairs.enqueued, removed=repairs.removed)
    return repairs


def _enqueue_missing(app: App) -> int:
    rows = sql.fetch(
        "SELECT id FROM tasks_task task WHERE status IN ('pending', 'running') AND NOT EXISTS ("
        " SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = 'task' AND key = task.id) LIMIT %s",
        [app.pk, BATCH],
    )
    tasks = Task.objects.filter(pk__in=[sql.as_uuid(row[0]) for row in rows])
    entries.enqueue(app, [lifecycle.entry_of(task) for task in tasks])
    return len(rows)


def _enqueue_operations(app: App) -> int:
    rows = sql.fetch(
        "SELECT id FROM tasks_operation operation WHERE status = 'running' AND NOT EXISTS ("
        " SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = 'operation' AND key = operation.id)",
        [app.pk],
    )
    operations.enqueue(app, [Operation(pk=sql.as_uuid(row[0])) for row in rows])
    return len(rows)


def _enqueue_outbox(app: App) -> int:
    """One entry is enough, whatever is unread. `event_unread` serves the choice."""
    left = sql.fetch(
        "SELECT 1 FROM tasks_event WHERE unread AND NOT EXISTS ("
        " SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = %s) ORDER BY id LIMIT 1",
        [app.pk, outbox.KIND],
    )
    if left:
        outbox.queue(app)
    return len(left)


def _remove_orphans(app: App) -> int:
    """Only entries that nobody holds: a worker finds out by itself when it begins."""
    return sql.execute(
        "DELETE FROM queue_queueentry WHERE app_id = %s AND kind = 'task' AND state <> 'leased' AND NOT EXISTS ("
        " SELECT 1 FROM tasks_task WHERE id = queue_queueentry.key AND status IN ('pending', 'running'))",
        [app.pk],
    )
