"""Claiming entries, and settling or giving back what was claimed.

A lease is fenced: its settlement names the worker and the epoch of the claim, and one that no longer matches is
refused. A lease ends with its worker: a worker that stops beating loses all of them at once (`apps.queue.workers`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.queue import limits, sql
from apps.queue.entries import held, ready_unless_held, wake

PARKING_ROUNDS = 8  # of one claim: it must not keep its worker from beating while a large lane is being parked


@dataclass(frozen=True)
class Lease:
    """The right of one worker to do one piece of work."""

    id: int
    app_id: int
    kind: str
    key: UUID
    epoch: int
    worker_id: int
    is_limited: bool = field(default=False, compare=False)  # its end may let another task go on (`apps.queue.limits`)


def claim(worker_id: int, count: int, *, limited: bool = True) -> list[Lease]:
    """Leases up to `count` ready entries to the worker, the fair next ones; none while the queue is paused.

    None either to a worker that drains, or was given up for dead: nobody would look after its leases. What turns out
    to be held was made ready just when its hold was set; it is parked, and the next ones are taken for it. So is what
    is more than its App or its group may run at a time (`apps.queue.limits`).
    The `queue_ready` index serves the choice, so its cost does not grow with what waits.

    `limited`: the installation may have a limit. False, where there is none, costs less; where one has been set since,
    all is taken and what does not fit put back.

    On PostgreSQL the claim does not wait until it is on disk, where it is the whole transaction: what comes after it,
    the start of the work first of all, is only there if the claim is.
    """
    claimed: list[_Taken] = []
    for _ in range(PARKING_ROUNDS):
        taken = _take(worker_id, count - len(claimed), limited)
        parked = _park([one.lease for one in taken if one.is_held])
        put_back = _put_back_surplus([one for one in taken if one.lease.id not in parked])
        new = [one for one in taken if one.lease.id not in parked | put_back]
        claimed += new
        if any(one.is_limited for one in new):
            # With those of the rounds before: one that comes out later may stand before them in its App's line.
            parked |= _park_surplus([one for one in claimed if one.is_limited])
            claimed = [one for one in claimed if one.lease.id not in parked]
        if not parked:
            break
    return [one.lease for one in claimed]


@dataclass(frozen=True)
class _Taken:
    lease: Lease
    in_line: limits.Candidate
    is_held: bool
    is_limited: bool  # by its App, or its group
    is_in_limited_installation: bool


def _park_surplus(taken: Sequence[_Taken]) -> set[int]:
    """Parks what is more than its App or its group may run; which."""
    parked: set[int] = set()
    for app_id in sorted({one.lease.app_id for one in taken}):
        mine = {one.lease.id: one for one in taken if one.lease.app_id == app_id}
        with transaction.atomic():
            surplus = limits.surplus(app_id, [one.in_line for one in mine.values()])
            parked |= _park([one.lease for one in mine.values() if one.lease.id in surplus])
    return parked


def _put_back_surplus(taken: Sequence[_Taken]) -> set[int]:
    """Puts what is more than the installation may run back in line; which."""
    tasks = {one.lease.id: one for one in taken if one.is_in_limited_installation and one.lease.kind == limits.KIND}
    if not tasks:
        return set()
    with transaction.atomic():
        surplus = limits.beyond_installation([one.in_line for one in tasks.values()])
        return _free("ready", [tasks[entry_id].lease for entry_id in surplus])


def _park(leases: Sequence[Lease]) -> set[int]:
    return _free("parked", leases)


def _free(state: str, leases: Sequence[Lease]) -> set[int]:
    return _settle(f"UPDATE queue_queueentry SET state = '{state}', worker_id = NULL, leased_at = NULL", [], leases)


def _take(worker_id: int, count: int, limited: bool) -> list[_Taken]:
    """Leases the next entries."""
    if count < 1:
        return []
    # A row that another claim is taking right now is skipped, not waited for. SQLite's writers take turns anyway.
    lock = "FOR UPDATE SKIP LOCKED" if sql.is_postgresql() else ""
    within = f"AND {limits.within_installation('following')}" if limited else ""
    at_leisure = "AND set_config('synchronous_commit', 'off', true) IS NOT NULL" if lock else ""
    rows = sql.fetch(
        f"""
        WITH me AS MATERIALIZED (
            SELECT id FROM queue_worker
            WHERE id = %s AND stopped_at IS NULL AND NOT draining {at_leisure} {"FOR SHARE" if lock else ""}
        ), following AS MATERIALIZED (
            SELECT id, kind, priority, tag FROM queue_queueentry
            WHERE state = 'ready' AND EXISTS (SELECT 1 FROM me)
            AND NOT EXISTS (SELECT 1 FROM queue_queuecontrol WHERE paused)
            ORDER BY priority DESC, tag, id LIMIT %s {lock}
        )
        UPDATE queue_queueentry
        SET state = 'leased', worker_id = %s, epoch = epoch + 1, leased_at = {sql.now()}, run_at = NULL,
            has_place = FALSE
        WHERE id IN (SELECT id FROM following) {within}
        RETURNING id, app_id, kind, key, epoch, group_name, priority, tag, goes_on,
            {held("queue_queueentry.app_id", "queue_queueentry.lane")}, {limits.is_limited()},
            {limits.installation_is_limited()}
        """,
        [worker_id, count, worker_id],
    )
    return [
        _Taken(
            Lease(id, app_id, kind, sql.as_uuid(key), epoch, worker_id, bool(is_limited or everything_is)),
            limits.Candidate(id, group, priority, tag, bool(goes_on)),
            bool(is_held),
            bool(is_limited),
            bool(everything_is),
        )
        for id, app_id, kind, key, epoch, group, priority, tag, goes_on, is_held, is_limited, everything_is in rows
    ]


def owned(leases: Sequence[Lease]) -> set[int]:
    """The ids of those that their worker still owns."""
    if not leases:
        return set()
    rows = sql.fetch(
        f"SELECT id, epoch, worker_id FROM queue_queueentry WHERE state = 'leased'"
        f" AND id IN ({sql.placeholders(len(leases))})",
        [lease.id for lease in leases],
    )
    held = {(row[0], row[1], row[2]) for row in rows}
    return {lease.id for lease in leases if (lease.id, lease.epoch, lease.worker_id) in held}


@dataclass(frozen=True)
class Outlook:
    """What there is to do."""

    ready: bool
    due_in: float | None  # seconds until the next scheduled entry is due, by the database's clock; None: there is none
    paused: bool  # the whole queue is
    limited: bool  # the installation is


def outlook() -> Outlook:
    """A cheap look, without a write lock. (`queue_ready` and `queue_scheduled` serve it.)"""
    [(ready, due_since, paused, limited)] = sql.fetch(
        f"SELECT"
        f" EXISTS (SELECT 1 FROM queue_queueentry WHERE state = 'ready' ORDER BY priority DESC, tag, id LIMIT 1),"
        f" (SELECT {sql.seconds_since('run_at')} FROM queue_queueentry WHERE state = 'scheduled'"
        f"  ORDER BY run_at LIMIT 1),"
        f" EXISTS (SELECT 1 FROM queue_queuecontrol WHERE paused), {limits.installation_is_limited()}"
    )
    due_in = None if due_since is None else max(0.0, -float(due_since))
    return Outlook(bool(ready), due_in, bool(paused), bool(limited))


def promote_due() -> int:
    """Makes scheduled entries ready whose time has come; how many."""
    return sql.execute(
        f"UPDATE queue_queueentry SET state = {ready_unless_held()}, run_at = NULL WHERE id IN ("
        f" SELECT id FROM queue_queueentry WHERE state = 'scheduled' AND run_at <= {sql.now()}"
        f" ORDER BY run_at LIMIT 1000"
        f" {'FOR UPDATE SKIP LOCKED' if sql.is_postgresql() else ''})"
    )


def finish(leases: Sequence[Lease]) -> set[int]:
    """Ends the leases, their work being over; the ids of those that were still owned. The others were lost."""
    return _settle("DELETE FROM queue_queueentry", [], leases)


def give_back(leases: Sequence[Lease]) -> set[int]:
    """Makes the entries ready for anybody again; the ids of those that were still owned."""
    owned = _settle(
        f"UPDATE queue_queueentry SET state = {ready_unless_held()}, worker_id = NULL, leased_at = NULL", [], leases
    )
    wake()
    return owned


def reschedule(lease: Lease, delay: float) -> bool:
    """Puts the entry off for so many seconds; False if the lease was lost."""
    owned = _settle(
        f"UPDATE queue_queueentry SET state = 'scheduled', worker_id = NULL, leased_at = NULL, run_at = {sql.later()}",
        [delay],
        [lease],
    )
    wake()  # somebody may have to sleep for less long now
    return bool(owned)


def cancel_requests(worker_id: int) -> set[int]:
    """The ids of this worker's leases whose work shall be cancelled."""
    rows = sql.fetch(
        "SELECT id FROM queue_queueentry WHERE state = 'leased' AND worker_id = %s AND cancel = %s", [worker_id, True]
    )
    return {row[0] for row in rows}


def _settle(change: str, params: list[Any], leases: Sequence[Lease]) -> set[int]:
    if not leases:
        return set()
    worker_id = leases[0].worker_id
    pairs = ", ".join(["(%s, %s)"] * len(leases))
    values = [value for lease in leases for value in (lease.id, lease.epoch)]
    rows = sql.fetch(
        f"{change} WHERE state = 'leased' AND worker_id = %s AND (id, epoch) IN (VALUES {pairs}) RETURNING id",
        [*params, worker_id, *values],
    )
    return {row[0] for row in rows}
