"""What an operator sees of the queue and does to it as a whole. Every replica reads the same row."""

from __future__ import annotations

from dataclasses import dataclass, field

import structlog
from django.db import transaction
from django.db.models import Count, DurationField, F, Max
from django.db.models.functions import Now

from apps.accounts import audit
from apps.queue import limits
from apps.queue.entries import wake
from apps.queue.models import QueueControl, QueueEntry

log = structlog.get_logger(__name__)


@dataclass
class Counts:
    ready: int = 0
    scheduled: int = 0
    leased: int = 0
    parked: int = 0


@dataclass
class QueueStatus:
    """What waits and what is being done, of all Apps and of each that has any."""

    paused: bool
    reason: str
    max_concurrent: int | None = None  # how many tasks may run at a time; None: as many as there are slots
    running: int = 0  # of those
    total: Counts = field(default_factory=Counts)
    apps: dict[str, Counts] = field(default_factory=dict)
    oldest_ready_seconds: float | None = None  # since it was enqueued


def status() -> QueueStatus:
    control = QueueControl.objects.get(pk=1)
    found = QueueStatus(control.paused, control.reason, control.max_concurrent, limits.running())
    # Reads the whole table once: some 100 ms for a million entries.
    waiting = Max(Now() - F("enqueued_at"), output_field=DurationField())
    rows = (
        QueueEntry.objects.values_list("app__name", "state")
        .annotate(count=Count("pk"), oldest=waiting)
        .order_by("app__name")
    )
    for app_name, state, count, oldest in rows:
        setattr(found.apps.setdefault(app_name, Counts()), state, count)
        setattr(found.total, state, getattr(found.total, state) + count)
        if state == QueueEntry.State.READY:
            found.oldest_ready_seconds = max(found.oldest_ready_seconds or 0.0, round(oldest.total_seconds(), 3))
    return found


def pause(*, by: str, reason: str = "") -> None:
    """Stops claiming, everywhere. What is being done goes on; what is submitted waits."""
    QueueControl.objects.filter(pk=1).update(paused=True, reason=reason)
    log.info("queue_paused", by=by, reason=reason)


def resume(*, by: str, reason: str = "") -> None:
    """Lets workers claim again, at once."""
    with transaction.atomic():
        QueueControl.objects.filter(pk=1).update(paused=False, reason="")
        wake()
    log.info("queue_resumed", by=by, reason=reason)


def limit(most: int | None, *, by: str, reason: str = "") -> None:
    """From now on the installation runs so many tasks at a time, on all hosts together; None: as many as fit.

    Nothing that runs is stopped. What does not fit waits in line (`apps.queue.limits`).
    """
    with transaction.atomic():
        QueueControl.objects.filter(pk=1).update(max_concurrent=most)
        audit.record("queue_limited", by=by, reason=reason, max_concurrent=most)
        wake()
    log.info("queue_limited", max_concurrent=most, by=by, reason=reason)
