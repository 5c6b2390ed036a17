"""Putting work into the queue, and taking it out again (callers hold the transaction that changes the task).

Fair share is weighted fair queueing: an entry's tag is its virtual finish time,
`max(tag of the next ready entry, last tag of its App) + 1 / weight of its App`, each within the entry's priority.
Claims go by (priority, tag, id), so an App with 100,000 entries cannot starve another's one. Two entries that are
written at the same instant may get the same tag; `id` orders them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from apps.queue import sql
from apps.tenancy.models import App

CHANNEL = "hector_queue"
AHEAD = 1000  # the priority of what must not wait behind an App's tasks, whose highest is 100


@dataclass(frozen=True)
class NewEntry:
    key: UUID
    kind: str = "task"
    priority: int = 0
    run_at: datetime | None = None  # None: ready at once
    lane: str = ""
    epoch: int = 0  # of the last lease of this key, so that the next one is higher


def enqueue(app: App, entries: Sequence[NewEntry]) -> None:
    """Writes the entries, in order, and wakes the workers when the transaction commits."""
    # `queue_ready` serves the first subquery, `queue_app_tag` the second. One statement per entry: each one's tag
    # depends on those before it.
    next_tag = (
        "COALESCE((SELECT tag FROM queue_queueentry WHERE state = 'ready' AND priority = %s"
        " ORDER BY priority DESC, tag, id LIMIT 1), 0)"
    )
    last_tag = "COALESCE((SELECT MAX(tag) FROM queue_queueentry WHERE app_id = %s AND priority = %s), 0)"
    instant, no = ("%s::timestamptz", "FALSE") if sql.is_postgresql() else ("%s", "0")
    state = f"CASE WHEN %s THEN 'scheduled' ELSE {ready_unless_held('%s', '%s')} END"
    statement = (
        "INSERT INTO queue_queueentry"
        " (app_id, kind, key, state, priority, run_at, lane, epoch, cancel, enqueued_at, tag)"
        f" SELECT %s, %s, %s, {state}, %s, {instant}, %s, %s, {no}, {sql.now()},"
        f" {sql.greatest(next_tag, last_tag)} + %s"
    )

    def row(new: NewEntry) -> tuple[Any, ...]:
        state = (new.run_at is not None, app.pk, new.lane)
        entry = (app.pk, new.kind, sql.uid(new.key), *state, new.priority, sql.dt(new.run_at), new.lane, new.epoch)
        return (*entry, new.priority, app.pk, new.priority, 1 / app.weight)

    if not entries:
        return
    *others, last = entries
    for new in others:
        sql.execute(statement, row(new))
    sql.execute(statement + (f" RETURNING PG_NOTIFY('{CHANNEL}', '')" if sql.is_postgresql() else ""), row(last))


def held(app: str, lane: str) -> str:
    """The SQL of whether a hold (`apps.queue.holds`) keeps entries of this App and lane (both SQL) from workers."""
    return (
        f"EXISTS (SELECT 1 FROM queue_hold WHERE queue_hold.app_id = {app}"
        f" AND (queue_hold.lane = '' OR queue_hold.lane = {lane}))"
    )


def ready_unless_held(app: str = "queue_queueentry.app_id", lane: str = "queue_queueentry.lane") -> str:
    """The SQL of the state of an entry that is due."""
    return f"CASE WHEN {held(app, lane)} THEN 'parked' ELSE 'ready' END"


def wake(payload: str = "") -> None:
    """Tells every worker, on commit, that there may be work, or something else to look at ("cancel", "drain").

    (SQLite's workers see that the file changed.)
    """
    if sql.is_postgresql():
        sql.execute(f"NOTIFY {CHANNEL}, '{payload}'")


def remove(app: App, key: UUID, *, kind: str = "task") -> bool:
    """Takes an entry out whoever holds it; whether there was one."""
    return bool(
        sql.execute(
            "DELETE FROM queue_queueentry WHERE app_id = %s AND kind = %s AND key = %s", [app.pk, kind, sql.uid(key)]
        )
    )


def request_cancel(app: App, key: UUID, *, kind: str = "task") -> bool:
    """Asks the owner of a leased entry to stop; False if nobody holds it."""
    asked = sql.execute(
        "UPDATE queue_queueentry SET cancel = %s WHERE app_id = %s AND kind = %s AND key = %s AND state = 'leased'",
        [True, app.pk, kind, sql.uid(key)],
    )
    if asked:
        wake("cancel")
    return bool(asked)
