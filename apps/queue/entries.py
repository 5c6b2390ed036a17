"""Putting work into the queue, and taking it out again (callers hold the transaction that changes the task).

Fair share is weighted fair queueing: an entry's tag is its virtual finish time,
`max(tag of the next ready entry, last tag of its App) + 1 / weight of its App`, each within the entry's priority.
Claims go by (priority, tag, id), so an App with 100,000 entries cannot starve another's one. Two entries that are
written at the same instant may get the same tag; `id` orders them. What is parked is out of the race, and what its App
submits meanwhile does not queue up behind it.
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
AHEAD = 1000  # the priority of all that is no task: it must not wait behind tasks, whose highest is 100


@dataclass(frozen=True)
class NewEntry:
    key: UUID
    kind: str = "task"
    priority: int = 0
    run_at: datetime | None = None  # None: ready at once
    lane: str = ""
    group: str = ""
    epoch: int = 0  # of the last lease of this key, so that the next one is higher


def enqueue(app: App, entries: Sequence[NewEntry]) -> None:
    """Writes the entries, in order, and wakes the workers when the transaction commits."""
    sql.fetch_batch(
        {"n": "int", "kind": "text", "key": "uuid", "priority": "int", "run_at": "timestamptz", "lane": "text",
         "group_name": "text", "epoch": "int"},
        [
            (number, new.kind, sql.uid(new.key), new.priority, sql.dt(new.run_at), new.lane, new.group, new.epoch)
            for number, new in enumerate(entries)
        ],
        insertion(app, "batch"),
    )  # fmt: skip


def insertion(app: App, new: str) -> str:
    """The SQL that writes entries from the rows (n, kind, key, priority, run_at, lane, group_name, epoch) of `new`.

    The `n` of the rows is their order. One row comes back for each.
    """
    # Both tags are of what was there before, for each row; of the rows themselves each comes one turn after the one
    # before it.
    turns = f"ROW_NUMBER() OVER (PARTITION BY new.priority ORDER BY n) / {float(app.weight)}"
    state = f"CASE WHEN run_at IS NOT NULL THEN 'scheduled' ELSE {ready_unless_held(str(app.pk), 'new.lane')} END"
    wake = f"PG_NOTIFY('{CHANNEL}', '')" if sql.is_postgresql() else "id"
    return (
        f"INSERT INTO queue_queueentry"
        f" (app_id, kind, key, state, priority, run_at, lane, group_name, epoch, cancel, enqueued_at, tag)"
        f" SELECT {app.pk}, kind, key, {state}, priority, run_at, lane, group_name, epoch, FALSE, {sql.now()},"
        f" {sql.greatest(next_tag('new.priority'), last_tag(str(app.pk), 'new.priority'))} + {turns}"
        f" FROM {new} new ORDER BY n RETURNING {wake}"
    )


def ensure_due(app: App, key: UUID, *, kind: str, priority: int = 0) -> None:
    """Makes sure that the entry is due: writes it, or brings one forward that is for later.

    One that a worker holds is left alone. So whoever calls this holds a lock that the worker takes, too, before it
    looks for the last time whether there is work and settles its lease.
    """
    found = sql.fetch(
        "SELECT state FROM queue_queueentry WHERE app_id = %s AND kind = %s AND key = %s", [app.pk, kind, sql.uid(key)]
    )
    if not found:
        enqueue(app, [NewEntry(key, kind=kind, priority=priority)])
    elif found[0][0] == "scheduled":
        sql.execute(
            f"UPDATE queue_queueentry SET state = {ready_unless_held()}, run_at = NULL"
            f" WHERE app_id = %s AND kind = %s AND key = %s AND state = 'scheduled'",
            [app.pk, kind, sql.uid(key)],
        )
        wake()


def call_forward(app: App, keys: Sequence[UUID], *, kind: str = "task") -> None:
    """Makes the entries due that are for later."""
    for begin in range(0, len(keys), 500):
        some = keys[begin : begin + 500]
        sql.execute(
            f"UPDATE queue_queueentry SET run_at = {sql.now()}"
            f" WHERE app_id = %s AND kind = %s AND state = 'scheduled' AND key IN ({sql.placeholders(len(some))})",
            [app.pk, kind, *map(sql.uid, some)],
        )
    if keys:
        wake()


def next_tag(priority: str) -> str:
    """The SQL of where the queue is now in a priority (SQL): its next ready entry's tag. `queue_ready` serves it."""
    return (
        f"COALESCE((SELECT tag FROM queue_queueentry WHERE state = 'ready' AND priority = {priority}"
        f" ORDER BY priority DESC, tag, id LIMIT 1), 0)"
    )


def last_tag(app: str, priority: str) -> str:
    """The SQL of how far an App (SQL) has got in a priority (SQL). `queue_app_tag` serves it."""
    return (
        f"COALESCE((SELECT MAX(tag) FROM queue_queueentry WHERE app_id = {app} AND priority = {priority}"
        f" AND NOT (state = 'parked')), 0)"
    )


def held(app: str, lane: str) -> str:
    """The SQL of whether a hold (`apps.queue.holds`) keeps entries of this App and lane (both SQL) from workers."""
    return (
        f"EXISTS (SELECT 1 FROM queue_hold WHERE queue_hold.app_id = {app}"
        f" AND (queue_hold.lane = '' OR queue_hold.lane = {lane}))"
    )


def ready_unless_held(app: str = "queue_queueentry.app_id", lane: str = "queue_queueentry.lane") -> str:
    """The SQL of the state of an entry that is due."""
    return f"CASE WHEN {held(app, lane)} THEN 'parked' ELSE 'ready' END"


def unpark(which: str, params: Sequence[Any], tag: str, *, most: int, has_place: bool = False) -> int:
    """Makes up to so many of the parked entries ready, by priority and then first in, first out; how many.

    `which` is the SQL of those that may be, with its `params`; `tag` that of the new tag of an `entry` (app_id,
    priority, tag; n, its number among those of its priority).
    """
    # The choice stands in front: as a subquery of the UPDATE, PostgreSQL may make it anew for each row, and go too far.
    # So do the tags: SQLite would make them from what it has updated already.
    return len(
        sql.fetch(
            f"WITH chosen AS (SELECT id, app_id, priority, tag FROM queue_queueentry WHERE state = 'parked' AND {which}"
            f" ORDER BY priority DESC, id LIMIT %s{' FOR UPDATE SKIP LOCKED' if sql.is_postgresql() else ''}"
            f"), entry AS (SELECT chosen.*, ROW_NUMBER() OVER (PARTITION BY priority ORDER BY id) AS n FROM chosen"
            f"), unparked AS MATERIALIZED (SELECT id, {tag} AS tag FROM entry)"
            f" UPDATE queue_queueentry SET state = 'ready', has_place = {has_place}, tag = unparked.tag"
            f" FROM unparked WHERE unparked.id = queue_queueentry.id RETURNING queue_queueentry.id",
            [*params, most],
        )
    )


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
