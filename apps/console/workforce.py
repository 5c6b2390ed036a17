"""The queue and its workers as a page shows them (all Apps together; shared schema)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Count as CountRows
from django.db.models import Max, QuerySet
from django.utils import timezone

from apps.console import words
from apps.console.filters import CAP, capped
from apps.console.words import Count
from apps.queue.models import QueueControl, QueueEntry, Worker
from apps.tenancy.models import App

SILENT = 20.0  # seconds without a heartbeat after which a worker does not count as alive; they beat every 5 s


@dataclass(frozen=True)
class Workforce:
    """Who could take a task right now."""

    alive: int
    slots: int
    busy: int
    last_seen: datetime | None  # the last heartbeat of any worker
    paused: bool
    pause_reason: str

    @property
    def free(self) -> int:
        return max(0, self.slots - self.busy)

    @property
    def sentence(self) -> str:
        """What keeps work from being taken, or that nothing does."""
        if self.paused:
            return "The queue is paused" + (f": {self.pause_reason}" if self.pause_reason else ".")
        if not self.alive:
            return nobody(self.last_seen)
        alive = words.plural(self.alive, "worker is", "workers are") + " alive"
        if not self.free:
            return f"{alive}, all {self.slots} slots are busy."
        return f"{alive}, {self.free} of {words.plural(self.slots, 'slot')} free."


def nobody(last_seen: datetime | None) -> str:
    """Why nothing runs when there is no worker, and what to do."""
    if last_seen is None:
        return "No worker has been seen yet: start one with `hector worker`."
    silence = _minutes((timezone.now() - last_seen).total_seconds())
    return f"No worker has been seen for {silence}: start one with `hector worker`."


def _minutes(seconds: float) -> str:
    if seconds < 60:
        return words.plural(int(seconds), "second")
    if seconds < 7200:
        return words.plural(int(seconds // 60), "minute")
    return words.duration(seconds)


def workforce() -> Workforce:
    alive = Worker.objects.filter(stopped_at=None, heartbeat_at__gte=timezone.now() - silence())
    slots = list(alive.filter(draining=False).values_list("slots", flat=True))
    control = QueueControl.objects.filter(pk=1).first()
    return Workforce(
        alive=len(slots),
        slots=sum(slots),
        busy=capped(QueueEntry.objects.filter(state="leased", worker__in=alive)).number,
        last_seen=Worker.objects.aggregate(seen=Max("heartbeat_at"))["seen"],
        paused=bool(control and control.paused),
        pause_reason=control.reason if control else "",
    )


def silence() -> timedelta:
    return timedelta(seconds=min(SILENT, settings.HECTOR_QUEUE_STALE_THRESHOLD))


@dataclass(frozen=True)
class Seat:
    """A worker as the page of workers shows it."""

    worker: Worker
    busy: int
    alive: bool


def seats() -> list[Seat]:
    """The workers on shift, and those that fell silent."""
    workers = Worker.objects.filter(stopped_at=None).order_by("host", "pid")[:500]
    busy = dict(
        QueueEntry.objects.filter(state="leased").values_list("worker").annotate(CountRows("pk")).order_by()
    )  # as many rows as there are busy slots
    oldest = timezone.now() - silence()
    return [Seat(worker, busy.get(worker.pk, 0), worker.heartbeat_at >= oldest) for worker in workers]


def queue_counts(app: App | None = None) -> dict[str, Count]:
    """Entries by state, each counted to the cap; of one App or of all."""
    return {state: capped(entries(state, app)) for state in QueueEntry.State.values}


def entries(state: str, app: App | None = None) -> QuerySet[QueueEntry]:
    """The entries that a number of `queue_counts` counts, in the order in which they were made."""
    found = QueueEntry.objects.select_related("app", "worker").order_by("id")
    if app is not None:
        found = found.filter(app=app)
    return found.filter(state=state)


def by_app(apps: Iterable[App]) -> dict[int, dict[str, Count]]:
    """What each of the Apps has in the queue, by state. Reads no more than the cap of each App's entries.

    The states of an App with more entries than that are those of its next ones only, and are marked so.
    """
    return {app.pk: _states(app) for app in apps}


def _states(app: App) -> dict[str, Count]:
    states = list(
        QueueEntry.objects.filter(app=app).order_by("-priority", "tag").values_list("state", flat=True)[: CAP + 1]
    )
    more = len(states) > CAP
    return {state: Count(states.count(state), more) for state in QueueEntry.State.values}
