"""How many tasks of an App run at a time (`App.max_concurrent`): what does not fit is `parked` until one ends.

Whoever has claimed work of a limited App counts what is leased, under a lock of the App's row, and parks the surplus
before any of it begins. So the limit holds however many hosts claim at once. Whoever ends such a task lets the next
one go on, under the same lock: what was parked a moment before is seen. Beats of the workers do so as well, for what
ended otherwise: a worker died, an operator raised the limit.

Only tasks count. What else an App has in the queue (messages, timers, events to be handed over) is not held up.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from apps.queue import sql
from apps.queue.entries import held, next_tag, wake

KIND = "task"  # of the entries that count


def is_limited(entry: str = "queue_queueentry") -> str:
    """The SQL of whether an entry is of an App with a limit, and counts."""
    return (
        f"({entry}.kind = '{KIND}' AND EXISTS (SELECT 1 FROM tenancy_app"
        f" WHERE tenancy_app.id = {entry}.app_id AND tenancy_app.max_concurrent IS NOT NULL))"
    )


def running(app_id: int) -> int:
    """How many tasks of the App are leased. (`queue_leased` serves it; `+` keeps indexes of all of the App away.)"""
    [(count,)] = sql.fetch(
        "SELECT COUNT(*) FROM queue_queueentry"
        " WHERE state = 'leased' AND worker_id IS NOT NULL AND +app_id = %s AND kind = %s",
        [app_id, KIND],
    )
    return int(count)


def surplus(app_id: int, claimed: Collection[int]) -> set[int]:
    """Which of these entries, leased just now, are more than the App may run; for the transaction that parks them."""
    over = -(_room(app_id) or 0)
    if over <= 0:
        return set()
    rows = sql.fetch(
        f"SELECT id FROM queue_queueentry WHERE id IN ({sql.placeholders(len(claimed))})"
        f" ORDER BY priority DESC, tag, id",
        list(claimed),
    )
    return {row[0] for row in rows[-over:]}


def release(app_id: int) -> int:
    """Makes as many of the App's parked tasks ready as fit and nothing holds, in their order; how many."""
    released = 0
    with transaction.atomic():
        room = _room(app_id) or 0
        while released < room:
            moved = _release_next(app_id, room - released)
            if not moved:
                break
            released += moved
        if released:
            wake()
    return released


def release_all() -> int:
    """The same for every App that has a limit and parked tasks; how many."""
    apps = sql.fetch(
        "SELECT id FROM tenancy_app WHERE max_concurrent IS NOT NULL AND EXISTS ("
        " SELECT 1 FROM queue_queueentry WHERE app_id = tenancy_app.id AND state = 'parked' AND kind = %s)",
        [KIND],
    )
    return sum(release(app_id) for (app_id,) in apps)


def _room(app_id: int) -> int | None:
    """How many more may run, less than 0 if too many are leased; None without a limit. Locks the App's row.

    The lock is the one that does not keep anybody from submitting to the App.
    """
    lock = " FOR NO KEY UPDATE" if sql.is_postgresql() else ""
    rows = sql.fetch(f"SELECT max_concurrent FROM tenancy_app WHERE id = %s{lock}", [app_id])
    return None if not rows or rows[0][0] is None else int(rows[0][0]) - running(app_id)


def _release_next(app_id: int, count: int) -> int:
    """Of the highest priority, those that have waited longest. (`queue_app_tag` serves both choices.)

    A tag from long ago would put them before other Apps' work: they stand where the queue is now.
    """
    waiting = (
        f"state = 'parked' AND app_id = %s AND kind = '{KIND}'"
        f" AND NOT {held('queue_queueentry.app_id', 'queue_queueentry.lane')}"
    )
    top = sql.fetch(f"SELECT priority FROM queue_queueentry WHERE {waiting} ORDER BY priority DESC LIMIT 1", [app_id])
    if not top:
        return 0
    [(priority,)] = top
    # The choice stands in front: as a subquery of the UPDATE, PostgreSQL may make it anew for each row, and go too far.
    return len(
        sql.fetch(
            f"WITH next AS (SELECT id FROM queue_queueentry WHERE {waiting} AND priority = %s ORDER BY tag, id LIMIT %s"
            f"{' FOR UPDATE SKIP LOCKED' if sql.is_postgresql() else ''})"
            f" UPDATE queue_queueentry SET state = 'ready', tag = {sql.greatest('tag', next_tag('%s'))}"
            f" WHERE id IN (SELECT id FROM next) RETURNING id",
            [app_id, priority, count, priority],
        )
    )
