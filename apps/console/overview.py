"""What the overview adds up. Every count is one of `filters.count`; the rest reads a bounded number of rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count as CountRows
from django.db.models import Q
from django.db.models.functions import TruncMinute
from django.utils import timezone

from apps.console.filters import Filter
from apps.tasks.models import Task, TaskStatus

MINUTES = 60
RECENT = 500  # finished tasks that the figures per agent are taken from


@dataclass(frozen=True)
class Minute:
    start: datetime
    completed: int
    failed: int

    def tasks(self, status: str) -> Filter:
        return Filter(status=(status,), finished_after=self.start, finished_before=self.start + timedelta(minutes=1))


def throughput() -> list[Minute]:
    """Tasks that ended, by minute, over the last hour (the index on `finished_at` serves it)."""
    last = timezone.now().replace(second=0, microsecond=0)
    starts = [last - timedelta(minutes=back) for back in reversed(range(MINUTES))]
    rows = (
        Task.objects.filter(finished_at__gte=starts[0], status__in=[TaskStatus.COMPLETED, TaskStatus.FAILED])
        .annotate(minute=TruncMinute("finished_at"))
        .values_list("minute", "status")
        .annotate(CountRows("pk"))
        .order_by()
    )
    counts = {(minute, status): number for minute, status, number in rows}
    return [
        Minute(start, counts.get((start, TaskStatus.COMPLETED), 0), counts.get((start, TaskStatus.FAILED), 0))
        for start in starts
    ]


def oldest_waiting() -> Task | None:
    """The task that has been due for the longest and that no worker has taken."""
    due = Q(next_attempt_at=None) | Q(next_attempt_at__lte=timezone.now())
    return Task.objects.filter(due, status=TaskStatus.PENDING).order_by("id").first()


def recent_failures() -> list[Task]:
    return list(Task.objects.filter(status=TaskStatus.FAILED).order_by("-id")[:5])


@dataclass
class AgentFigures:
    agent: str
    seconds: float = 0.0
    cost: Decimal = Decimal(0)
    tasks: int = 0

    @property
    def mean_seconds(self) -> float:
        return self.seconds / self.tasks

    @property
    def mean_cost(self) -> Decimal:
        return self.cost / self.tasks


def busiest_agents() -> list[AgentFigures]:
    """The slowest and the costliest agents among the last finished tasks, the slowest first."""
    rows = (
        Task.objects.filter(finished_at__isnull=False, started_at__isnull=False)
        .order_by("-finished_at")
        .values_list("agent", "started_at", "finished_at", "usage")[:RECENT]
    )
    found: dict[str, AgentFigures] = {}
    for agent, started, finished, usage in rows:
        figures = found.setdefault(agent, AgentFigures(agent))
        figures.tasks += 1
        assert started and finished
        figures.seconds += max(0.0, (finished - started).total_seconds())
        figures.cost += Decimal(str(usage.get("cost_usd") or 0))
    return sorted(found.values(), key=lambda figures: (-figures.mean_seconds, figures.agent))[:6]
