"""Unique work: a task with a `unique_key` keeps others with the same key and scope out, in its App.

- `pending`: until it first starts; - `active`: until it has ended; - `period`: for some seconds from its acceptance,
whatever becomes of it. The scopes do not see each other.

The database decides, so any number of submissions at once make one task: conditional unique indexes on the task's own
row, and for periods one row per key that only an expired one gives up (`UniquePeriod`). A task that goes back to
pending by itself (a retry after an error, a hand-back, a person's decision) never collides: it has started, and is
live all the time. An operator's retry of one that has ended may.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.queue import sql
from apps.tasks.errors import NotUnique
from apps.tasks.models import LIVE, Task, TaskStatus, UniquePeriod, UniqueScope


@contextmanager
def guarded(tasks: Sequence[Task]) -> Iterator[None]:
    """A transaction in which the tasks become live. Raises NotUnique if one's key is taken; then nothing was done."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError:
        keyed = [task for task in tasks if task.unique_key]
        for task in keyed:
            if (holder := _holder(task)) is not None:
                raise NotUnique(task.unique_key or "", holder) from None
        if keyed:  # two of these tasks have the same key, or the one that had it has ended just now
            raise NotUnique(keyed[0].unique_key or "", None) from None
        raise


def take_period(task: Task, seconds: float) -> None:
    """Reserves the task's key for so long, or raises NotUnique."""
    taken = sql.fetch(
        f"INSERT INTO tasks_uniqueperiod (key, task_id, expires_at) VALUES (%s, %s, {sql.later()})"
        f" ON CONFLICT (key) DO UPDATE SET task_id = excluded.task_id, expires_at = excluded.expires_at"
        f" WHERE tasks_uniqueperiod.expires_at <= {sql.now()} RETURNING id",
        [task.unique_key, sql.uid(task.pk), seconds],
    )
    if not taken:
        holder = UniquePeriod.objects.filter(key=task.unique_key).values_list("task_id", flat=True).first()
        raise NotUnique(task.unique_key or "", holder)


def _holder(task: Task) -> UUID | None:
    """Which other task has its key now."""
    others = Task.objects.filter(unique_key=task.unique_key, unique_scope=task.unique_scope).exclude(pk=task.pk)
    if task.unique_scope == UniqueScope.PENDING:
        others = others.filter(status=TaskStatus.PENDING, started_at=None)
    elif task.unique_scope == UniqueScope.ACTIVE:
        others = others.filter(status__in=LIVE)
    else:
        return None
    return others.values_list("pk", flat=True).first()
