"""Running a timer for times that are over and that it has no record of, counted before anything is done."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from django.db import transaction

from apps.tenancy.models import App
from apps.triggers.entry_points import clock, schedules, timers
from apps.triggers.entry_points.firing import Start, fire_many
from apps.triggers.entry_points.lifecycle import named
from apps.triggers.entry_points.specs import spec_of
from apps.triggers.errors import BackfillChanged, BackfillTooLarge, NotATimer
from apps.triggers.models import EntryPoint, Firing

MOST = 1000  # times at once


def missing(timer: EntryPoint, since: datetime, until: datetime) -> list[datetime]:
    """The times of the timer in between, both included and none to come, that it has not fired for.

    What was skipped is among them. Raises NotATimer or BackfillTooLarge.
    """
    if timer.type != timers.KIND:
        raise NotATimer(f"{timer.name!r} is no timer")
    spec = timers.spec_of_timer(spec_of(timer))
    schedule = timers.schedule_of(spec, timer.anchor or timer.created_at)
    found = list(islice(schedules.between(schedule, since, min(until, clock.now())), MOST + 1))
    if len(found) > MOST:
        raise BackfillTooLarge(f"there are more than {MOST:,} times in between; choose fewer at once")
    keys = [timers.key_of(instant) for instant in found]
    known = set(Firing.objects.filter(entry_point=timer, key__in=keys).values_list("key", flat=True))
    return [instant for instant, key in zip(found, keys, strict=True) if key not in known]


def backfill(app: App, timer: EntryPoint, since: datetime, until: datetime, *, count: int, by: str) -> list[Firing]:
    """Fires for each of these times; `count` is how many whoever asks for it has seen.

    Raises EntryPointGone, NotATimer, BackfillTooLarge or BackfillChanged; then nothing was done.
    """
    with transaction.atomic():
        timer = named(timer)
        found = missing(timer, since, until)
        if len(found) != count:
            raise BackfillChanged(f"these are {len(found):,} times now, not {count:,}")
        starts = [Start(timer, Firing.Cause.BACKFILL, {}, timers.key_of(instant), instant) for instant in found]
        return fire_many(app, starts, by=by) if starts else []
