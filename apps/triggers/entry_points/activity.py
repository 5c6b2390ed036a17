"""What entry points have under way."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from apps.queue import sql
from apps.tasks.models import LIVE, Task


@dataclass(frozen=True)
class Activity:
    running: int = 0  # tasks that a worker works on
    idle_seconds: float | None = None  # since one of these did something that was written down; None: none runs


def by_entry_point() -> dict[str, Activity]:
    """Of those that have something running. (`task_status` finds the tasks, `event_seq` their last events.)"""
    return _activity("entry_point", "entry_point IS NOT NULL", [])


@dataclass
class Counts:
    """What is under way."""

    pending: int = 0
    running: int = 0
    input_required: int = 0


def under_way() -> dict[str | None, Counts]:
    """By entry point; None: what was submitted without one. Reads every task that has not ended (`task_status`)."""
    found: dict[str | None, Counts] = {}
    rows = Task.objects.filter(status__in=LIVE).values_list("entry_point", "status").annotate(count=Count("pk"))
    for name, status, count in rows.order_by():
        setattr(found.setdefault(name, Counts()), status, count)
    return found


def of_agent(agent: str) -> Activity:
    """The same of an agent, whatever started its tasks."""
    return _activity("agent", "agent = %s", [agent]).get(agent, Activity())


def _activity(group: str, where: str, params: list[str]) -> dict[str, Activity]:
    last_event = "SELECT at FROM tasks_event WHERE task_id = task.id ORDER BY seq DESC LIMIT 1"
    rows = sql.fetch(
        f"SELECT name, COUNT(*), {sql.seconds_since('MAX(active_at)')} FROM ("
        f" SELECT {group} AS name, ({last_event}) AS active_at FROM tasks_task task"
        f" WHERE status = 'running' AND {where}) AS running GROUP BY name",
        params,
    )
    return {name: Activity(int(count), max(0.0, float(idle))) for name, count, idle in rows}
