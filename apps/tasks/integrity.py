"""The invariants of tasks and their queue entries, as one list of complaints.

- a pending or running task has exactly one queue entry, and no other state has one;
- a running operation has exactly one queue entry; where there are unread events, one to hand them over waits or runs;
- a failed task has an open or resolved dead letter, and only a failed one has an open one;
- the events of a task are numbered 1 … `last_seq` without gaps, its checkpoints 1 … `last_checkpoint`.
"""

from __future__ import annotations

from typing import Any

from apps.queue import sql
from apps.tenancy.context import in_app
from apps.tenancy.models import App

CHECKS = {
    "task without its queue entry": """
        SELECT id FROM tasks_task task WHERE status IN ('pending', 'running') AND NOT EXISTS (
            SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = 'task' AND key = task.id)""",
    "queue entry of a task that is over": """
        SELECT key FROM queue_queueentry WHERE app_id = %s AND kind = 'task' AND NOT EXISTS (
            SELECT 1 FROM tasks_task WHERE id = queue_queueentry.key AND status IN ('pending', 'running'))""",
    "failed task without a dead letter": """
        SELECT id FROM tasks_task task WHERE %s > 0 AND status = 'failed' AND NOT EXISTS (
            SELECT 1 FROM tasks_deadletter WHERE task_id = task.id AND status <> 'retried')""",
    "open dead letter of a task that did not fail": """
        SELECT task_id FROM tasks_deadletter letter WHERE %s > 0 AND status = 'open' AND NOT EXISTS (
            SELECT 1 FROM tasks_task WHERE id = letter.task_id AND status = 'failed')""",
    "running operation without its queue entry": """
        SELECT id FROM tasks_operation operation WHERE status = 'running' AND NOT EXISTS (
            SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = 'operation' AND key = operation.id)""",
    "unread event that nobody is going to hand over": """
        SELECT id FROM tasks_event WHERE unread AND NOT EXISTS (
            SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = 'outbox')""",
    "gap in the events": """
        SELECT task.id FROM tasks_task task LEFT JOIN tasks_event event ON event.task_id = task.id WHERE %s > 0
        GROUP BY task.id, task.last_seq
        HAVING COUNT(event.id) <> task.last_seq OR COALESCE(MAX(event.seq), 0) <> task.last_seq""",
    "gap in the checkpoints": """
        SELECT task.id FROM tasks_task task LEFT JOIN tasks_checkpoint point ON point.task_id = task.id WHERE %s > 0
        GROUP BY task.id, task.last_checkpoint
        HAVING COUNT(point.id) <> task.last_checkpoint OR COALESCE(MAX(point.seq), 0) <> task.last_checkpoint""",
}


def complaints(app: App) -> list[str]:
    """What is wrong in the App; empty if nothing is."""
    with in_app(app):
        return [f"{fault}: {_named(key)}" for fault, query in CHECKS.items() for (key,) in sql.fetch(query, [app.pk])]


def _named(key: Any) -> str:
    return str(key if isinstance(key, int) else sql.as_uuid(key))
