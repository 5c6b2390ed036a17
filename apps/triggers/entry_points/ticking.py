"""Timers fire (the handler of queue entries of kind `timer`).

Everything happens while the entry begins, in one transaction: the tasks of what is due, each with its record; the next
instant; the entry that is scheduled for it. So a timer fires once however many hosts there are, without a leader, and
whatever dies leaves either all of it or nothing. Whoever comes second finds the next instant in the future, and does no
more than schedule it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from apps.agents.config.schema import EntryPointConfig
from apps.queue import entries, leases, sql
from apps.queue.faults import Point, reach
from apps.queue.handler import Job
from apps.queue.leases import Lease
from apps.tenancy.models import App
from apps.triggers.entry_points import activity, clock, schedules, timers
from apps.triggers.entry_points.firing import Skip, Start, fire_many, skip_many
from apps.triggers.entry_points.lifecycle import ACTIVE, locked
from apps.triggers.entry_points.specs import spec_of
from apps.triggers.models import EntryPoint, Firing

_CAUSE = Firing.Cause.TIMER


def begin(app: App, claimed: Sequence[Lease], worker: str) -> list[tuple[Lease, None]]:
    with transaction.atomic():
        _tick(app, claimed)
    reach(Point.TIMER_WRITTEN)
    return []


async def run(job: Job) -> None:
    """Nothing is left to do."""


def _tick(app: App, claimed: Sequence[Lease]) -> None:
    found = {timer.pk: timer for timer in locked(pk__in=[lease.key for lease in claimed], type=timers.KIND, **ACTIVE)}
    owned = leases.finish(claimed)  # a lease that was lost is another worker's to answer for
    mine = [(lease, found[lease.key]) for lease in claimed if lease.id in owned and lease.key in found]
    if not mine or timers.are_paused():
        return
    fire_due(app, [timer for _, timer in mine])
    reach(Point.TIMER_WRITES)
    entries.enqueue(app, [timers.entry(timer, lease.epoch) for lease, timer in mine if timer.next_at is not None])


@dataclass(frozen=True)
class _Plan:
    starts: list[Start]
    skips: list[Skip]


def fire_due(app: App, due: Sequence[EntryPoint]) -> None:
    """Fires the (locked) timers for what is due, and moves each on to its next instant."""
    now = clock.now()
    planned = [_plan(timer, now) for timer in due]
    fire_many(app, [start for plan in planned for start in plan.starts])
    skip_many([skip for plan in planned for skip in plan.skips])
    sql.execute_batch(
        {"timer": "uuid", "following": "timestamptz"},
        [(sql.uid(timer.pk), sql.dt(timer.next_at)) for timer in due],
        "UPDATE triggers_entrypoint SET next_at = following FROM batch WHERE triggers_entrypoint.id = batch.timer",
    )


def _plan(timer: EntryPoint, now: datetime) -> _Plan:
    """What the timer does now; the object knows its next instant."""
    plan = _Plan([], [])
    if timer.next_at is None or timer.anchor is None or timer.next_at > now:
        return plan
    config = spec_of(timer)
    spec = timers.spec_of_timer(config)
    due = schedules.due(timers.schedule_of(spec, timer.anchor), timer.next_at, now, spec.misfire)
    if due.missed is not None:
        plan.skips.append(_missed(timer, *due.missed, spec.misfire))
    busy = _busy(config, spec.idle_timeout) if due.instants else ""
    for instant in due.instants:
        if busy:
            plan.skips.append(Skip(timer, _CAUSE, busy, f"skipped {timers.key_of(instant)}", instant))
        else:
            plan.starts.append(Start(timer, _CAUSE, {}, timers.key_of(instant), instant))
    timer.next_at = due.following
    return plan


def _missed(timer: EntryPoint, first: datetime, last: datetime, misfire: str) -> Skip:
    what = f"What was due from {first:%Y-%m-%d %H:%M:%S} until {last:%Y-%m-%d %H:%M:%S} UTC"
    if first == last:
        what = f"What was due at {first:%Y-%m-%d %H:%M:%S} UTC"
    reason = f"{what} was missed, and is not made up for (misfire: {misfire})."
    return Skip(timer, _CAUSE, reason, f"missed {timers.key_of(first)}", first)


def _busy(config: EntryPointConfig, idle_timeout: float | None) -> str:
    """Why the timer does not fire now; empty: it does."""
    if idle_timeout is None:
        return ""
    now = activity.of_agent(config.agent)
    if now.idle_seconds is None or now.idle_seconds > idle_timeout:
        return ""
    return (
        f"{config.agent} is busy: {now.running} running, active {now.idle_seconds:.0f} s ago"
        f" (idle_timeout: {idle_timeout:g} s)."
    )
