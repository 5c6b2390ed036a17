"""Whatever workers, operators and crashes do, in any order: the invariants hold and a final state never changes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.queue import leases, workers
from apps.queue.models import QueueEntry
from apps.tasks import journal, lifecycle
from apps.tasks.errors import IllegalTransition, TaskError
from apps.tasks.integrity import complaints
from apps.tasks.journal import Run, Settlement
from apps.tasks.models import FINAL, Task, TaskStatus
from apps.tenancy.models import App
from tests.support.agents import submit
from tests.support.transitions import settle, start

STEPS = [
    "submit",
    "claim",
    "complete",
    "fail",
    "retry_later",
    "hand_back",
    "cancelled",
    "cancel",
    "retry",
    "crash",
    "due",
]
RETRYABLE = TaskError("busy", "busy", retryable=True)


class World:
    """One App's tasks, two workers, and what each of them believes it is running."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.workers = [workers.register(slots=4), workers.register(slots=4)]
        self.runs: list[Run] = []  # also those that lost their lease: a frozen worker still believes in them
        self.final: dict[UUID, str] = {}

    def step(self, name: str, pick: int) -> None:
        getattr(self, name)(pick)
        assert complaints(self.app) == []
        for task in Task.objects.all():
            assert self.final.get(task.pk, task.status) == task.status, "a final state changed"
            if task.status in FINAL:
                self.final[task.pk] = task.status

    def submit(self, pick: int) -> None:
        submit(self.app, max_retries=pick % 3)

    def claim(self, pick: int) -> None:
        if run := start(self.app, self.workers[pick % 2]):
            self.runs.append(run)

    def complete(self, pick: int) -> None:
        self._settle(pick, lambda run: journal.complete(run, pick))

    def fail(self, pick: int) -> None:
        self._settle(pick, lambda run: journal.fail(run, RETRYABLE))

    def retry_later(self, pick: int) -> None:
        self._settle(pick, lambda run: journal.retry_later(run, RETRYABLE, 3600.0))

    def hand_back(self, pick: int) -> None:
        self._settle(pick, journal.hand_back)

    def cancelled(self, pick: int) -> None:
        self._settle(pick, journal.cancelled)

    def _settle(self, pick: int, verb: Any) -> None:
        """Settles a run, current or stale; a stale one must be refused."""
        if not self.runs:
            return
        run = self.runs[pick % len(self.runs)]
        before = Task.objects.get(pk=run.task_id)
        owned = before.status == TaskStatus.RUNNING and before.epoch == run.epoch and self._leased(run)
        settlement: Settlement = verb(run)
        refused = settle(self.app, run, settlement)
        assert (refused is None) == owned
        after = Task.objects.get(pk=run.task_id)
        assert after.status == (settlement.status if owned else before.status)

    def _leased(self, run: Run) -> bool:
        return QueueEntry.objects.filter(
            key=run.task_id, state="leased", epoch=run.epoch, worker_id=run.lease.worker_id
        ).exists()

    def cancel(self, pick: int) -> None:
        self._operate(pick, lifecycle.cancel, allowed={"pending", "running"})

    def retry(self, pick: int) -> None:
        self._operate(pick, lifecycle.retry, allowed={"failed", "cancelled"})

    def _operate(self, pick: int, verb: Any, *, allowed: set[str]) -> None:
        tasks = list(Task.objects.order_by("pk"))
        if not tasks:
            return
        task = tasks[pick % len(tasks)]
        if task.status in allowed:
            self.final.pop(task.pk, None)
            verb(self.app, task, by="anna")
        else:
            with pytest.raises(IllegalTransition):
                verb(self.app, task, by="anna")

    def crash(self, pick: int) -> None:
        workers.sign_off(self.workers[pick % 2].pk)
        self.workers[pick % 2] = workers.register(slots=4)

    def due(self, pick: int) -> None:
        QueueEntry.objects.filter(state="scheduled").update(run_at="2026-01-01T00:00Z")
        leases.promote_due()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7)), min_size=5, max_size=40))
def test_the_invariants_hold_after_every_step(app: App, steps: list[tuple[str, int]]) -> None:
    with transaction.atomic():
        world = World(app)
        for name, pick in steps:
            world.step(name, pick)
        transaction.set_rollback(True)
