"""When timers fire next.

`EntryPoint.next_at` is the truth: the instant that a timer fires for next. Its entry in the queue is derived from it,
and scheduled at that instant. A timer without a `next_at` is paused, removed, or held with all timers of the App
(`apps.triggers.entry_points.stillness`). What changes one is called with the entry point locked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from apps.agents.config.schema import EntryPointConfig
from apps.queue import entries
from apps.queue.entries import AHEAD, NewEntry
from apps.tenancy.models import App
from apps.triggers.entry_points import clock
from apps.triggers.entry_points.schedules import Cron, Interval, Schedule
from apps.triggers.entry_points.specs import spec_of
from apps.triggers.models import EntryPoint, TimersPause

if TYPE_CHECKING:
    from apps.triggers.starters.timer import TimerSpec

KIND = "timer"  # of its type, and of its queue entry
_TIMES = ("cron", "interval", "timezone")  # keys that say when it fires


def schedule_of(spec: TimerSpec, anchor: datetime) -> Schedule:
    if spec.cron is not None:
        return Cron(spec.cron, spec.zone)
    assert spec.interval is not None
    return Interval(anchor, timedelta(seconds=spec.interval))


# --- One timer ----------------------------------------------------------------------------------------------------
def appeared(app: App, timer: EntryPoint) -> None:
    spec, now = _spec(timer), clock.now()
    _set(app, timer, now, now if spec.run_immediately else schedule_of(spec, now).after(now))


def changed(app: App, timer: EntryPoint, was: Mapping[str, Any]) -> None:
    """Where its times stay what they were, it fires when it would have."""
    if all(timer.spec["trigger"][key] == was["trigger"][key] for key in _TIMES) and timer.anchor and timer.next_at:
        _set(app, timer, timer.anchor, timer.next_at)
    else:
        now = clock.now()
        _set(app, timer, now, schedule_of(_spec(timer), now).after(now))


def go_on(app: App, timer: EntryPoint) -> None:
    """From now on: nothing is made up for."""
    now = clock.now()
    anchor = timer.anchor or now
    _set(app, timer, anchor, schedule_of(_spec(timer), anchor).after(now))


def stop(app: App, timer: EntryPoint) -> None:
    EntryPoint.objects.filter(pk=timer.pk).update(next_at=None)
    entries.remove(app, timer.pk, kind=KIND)


def _set(app: App, timer: EntryPoint, anchor: datetime, next_at: datetime) -> None:
    """Has it fire then, unless all timers are paused."""
    timer.anchor, timer.next_at = anchor, None if are_paused() else next_at
    EntryPoint.objects.filter(pk=timer.pk).update(anchor=timer.anchor, next_at=timer.next_at)
    entries.remove(app, timer.pk, kind=KIND)
    if timer.next_at is not None:
        entries.enqueue(app, [entry(timer)])


def entry(timer: EntryPoint, epoch: int = 0) -> NewEntry:
    """Its entry in the queue: a pause of its agent holds it, too."""
    return NewEntry(timer.pk, kind=KIND, priority=AHEAD, run_at=timer.next_at, lane=timer.agent, epoch=epoch)


def spec_of_timer(config: EntryPointConfig) -> TimerSpec:
    return cast("TimerSpec", config.trigger)


def _spec(timer: EntryPoint) -> TimerSpec:
    return spec_of_timer(spec_of(timer))


def key_of(instant: datetime) -> str:
    """What makes a firing the only one of its instant."""
    return instant.isoformat()


def are_paused() -> TimersPause | None:
    """Who has paused all timers of the App, if somebody has."""
    return TimersPause.objects.first()


# --- What will be -------------------------------------------------------------------------------------------------
def instants(spec: TimerSpec, first: datetime, anchor: datetime) -> Iterator[datetime]:
    """From the one on that it fires for next."""
    schedule = schedule_of(spec, anchor)
    while True:
        yield first
        first = schedule.after(first)


def next_runs(timer: EntryPoint, count: int = 3) -> list[datetime]:
    """When it fires next; nothing while it does not."""
    if timer.next_at is None or timer.anchor is None:
        return []
    return list(islice(instants(_spec(timer), timer.next_at, timer.anchor), count))


def preview(spec: TimerSpec, count: int = 5) -> list[datetime]:
    """When a timer would fire that was applied now."""
    now = clock.now()
    return list(islice(instants(spec, now if spec.run_immediately else schedule_of(spec, now).after(now), now), count))
