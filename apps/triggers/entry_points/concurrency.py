"""What becomes of a firing when as much of its entry point is under way as may be (`max_concurrent`).

- `queue`: its task waits in the queue, first in, first out within its priority;
- `skip`: there is no task;
- `replace`: the oldest that is under way makes room. One that a worker works on is asked to stop, and the new task goes
  on in its session once it has really stopped (`Task.follows`). One that has not started yet ends at once: of several
  that wait to replace something the last one is left.

Under way is what is accepted and has not ended, but for what is on its way out; what waits for a person only if the
entry point says so (`count_waiting`). Whoever decides holds the entry point's row, so hosts take turns, and decides in
the transaction that writes the firing. That no more run than may is the queue's to see to (`apps.queue.limits`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from django.db import transaction
from django.db.models import Q, QuerySet

from apps.agents.config.schema import EntryPointConfig
from apps.queue import holds, limits
from apps.queue.faults import Point, reach
from apps.tasks import lifecycle as tasks
from apps.tasks.errors import IllegalTransition
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import LIVE, Isolation, Task, TaskStatus
from apps.tenancy.models import App
from apps.triggers.entry_points.specs import spec_of
from apps.triggers.models import EntryPoint, Firing

Outcome = Firing.Outcome


@dataclass(frozen=True)
class Verdict:
    """What becomes of a firing. Without a task it has a reason."""

    outcome: Firing.Outcome
    reason: str = ""
    task: Task | None = None


def put_in_force(app: App, name: str, spec: EntryPointConfig | None) -> None:
    """Lets the queue run so many of its tasks at a time, from the transaction's commit on. None: it is no more."""
    most = spec.max_concurrent if spec else None
    if limits.limit_group(app, name, most, count_waiting=bool(spec and spec.count_waiting)):
        tasks.count_waiting(app)
        transaction.on_commit(lambda: holds.unpark(app.pk))


def is_limited(entry_point: EntryPoint) -> bool:
    return entry_point.spec.get("max_concurrent") is not None


def lock(entry_points: Iterable[EntryPoint]) -> None:
    """Nobody else decides about those that have a limit until the transaction ends."""
    limited = {entry_point.pk for entry_point in entry_points if is_limited(entry_point)}
    if limited:
        list(EntryPoint.objects.select_for_update().filter(pk__in=limited).order_by("pk").values_list("pk"))


def admit(app: App, entry_point: EntryPoint, new: NewTask, *, by: str) -> Verdict:
    """Decides about a firing of an entry point that has a limit and is locked, and submits its task if it has one."""
    spec = spec_of(entry_point)
    most = spec.max_concurrent
    assert most is not None
    there = _under_way(entry_point.name, spec).order_by("id")[:most].count()
    if there < most:
        return Verdict(Outcome.STARTED, task=tasks.submit(app, new, by=by))
    if spec.on_limit == "skip":
        return Verdict(Outcome.SKIPPED, f"{there} of {most} were under way already.")
    if spec.on_limit == "queue":
        task = tasks.submit(app, new, by=by)
        return Verdict(Outcome.QUEUED, f"It waits: {there} of {most} were under way already.", task)
    displaced = _make_room(app, entry_point.name, spec, by)
    reach(Point.REPLACEMENT_WRITES)
    if displaced is None:  # they have ended just now
        return Verdict(Outcome.STARTED, task=tasks.submit(app, new, by=by))
    if displaced.session:
        new = replace(new, session=displaced.session, isolation=Isolation(displaced.isolation))
    new = replace(new, follows=displaced.pk)
    return Verdict(Outcome.REPLACED, f"It takes the place of the task {displaced.pk}.", tasks.submit(app, new, by=by))


def _under_way(name: str, spec: EntryPointConfig) -> QuerySet[Task]:
    """(`task_entry_point` serves it.)"""
    found = Task.objects.filter(entry_point=name, status__in=LIVE, cancel_requested_at=None)
    return found if spec.count_waiting else found.filter(~Q(status=TaskStatus.INPUT_REQUIRED))


def _make_room(app: App, name: str, spec: EntryPointConfig, by: str) -> Task | None:
    """Cancels the oldest ones, as many as it takes (one, unless the limit was lowered); the last one of them."""
    displaced = None
    while len(there := list(_under_way(name, spec).order_by("id")[: spec.max_concurrent])) == spec.max_concurrent:
        try:
            displaced = tasks.cancel(app, there[0], by=by, reason="A later firing of the entry point takes its place.")
        except IllegalTransition:  # it has ended just now
            continue
    return displaced
