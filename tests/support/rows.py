"""All that a step in a task's life may change, to see that one changed nothing."""

from __future__ import annotations

from typing import Any

from apps.approvals.models import Approval, Decision
from apps.queue import sql
from apps.queue.models import QueueEntry
from apps.tasks.models import Attempt, Checkpoint, DeadLetter, Event, Task, UniquePeriod

MODELS = (Task, QueueEntry, Event, Checkpoint, Attempt, DeadLetter, Approval, Decision, UniquePeriod)


def rows() -> list[Any]:
    """Of the App that the test is inside."""
    return [sql.fetch(f"SELECT * FROM {model._meta.db_table} ORDER BY id") for model in MODELS]
