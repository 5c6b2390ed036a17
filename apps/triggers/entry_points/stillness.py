"""Keeping all timers of an App still, whatever each of them is: durable, and without a burst when they go on."""

from __future__ import annotations

import structlog
from django.db import transaction

from apps.tasks.events import EventType
from apps.tenancy.models import App
from apps.triggers.entry_points import timers
from apps.triggers.entry_points.lifecycle import ACTIVE, locked, note
from apps.triggers.errors import TimersNotPaused
from apps.triggers.models import EntryPoint, TimersPause

log = structlog.get_logger(__name__)


def pause_all(app: App, *, by: str, reason: str = "") -> TimersPause:
    """No timer fires until they are resumed, whatever the document says meanwhile.

    A second pause changes the reason.
    """
    with transaction.atomic():
        still = _locked()
        pause, _ = TimersPause.objects.update_or_create(id=1, defaults={"by": by, "reason": reason})
        for timer in still:
            timers.stop(app, timer)
        note(EventType.ENTRY_POINT_PAUSED, None, by, reason)
    log.info("timers_paused", app=app.name, timers=len(still), by=by, reason=reason)
    return pause


def resume_all(app: App, *, by: str, reason: str = "") -> int:
    """Lets timers fire again, from now on; how many do. One that was paused by itself stays so.

    Raises TimersNotPaused.
    """
    with transaction.atomic():
        going = _locked()
        if not TimersPause.objects.all().delete()[0]:
            raise TimersNotPaused("the timers are not paused")
        for timer in going:
            timers.go_on(app, timer)
        note(EventType.ENTRY_POINT_RESUMED, None, by, reason)
    log.info("timers_resumed", app=app.name, timers=len(going), by=by, reason=reason)
    return len(going)


def count() -> int:
    """The timers that are not paused by themselves."""
    return EntryPoint.objects.filter(type=timers.KIND, **ACTIVE).count()


def _locked() -> list[EntryPoint]:
    return locked(type=timers.KIND, **ACTIVE)
