"""Whatever workers, operators and crashes do, in any order: the invariants hold and a final state never changes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.approvals import lifecycle as approvals
from apps.approvals.errors import AlreadyDecided
from apps.approvals.models import Approval
from apps.queue import holds, leases, workers
from apps.queue.models import Hold, QueueEntry
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
    "ask",
    "decide",
    "hold",
    "lift",
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
        held = Hold.objects.exists()
        waiting = set(QueueEntry.objects.exclude(state__in=["leased", "scheduled"]).values_list("state", flat=True))
        assert waiting <= {"parked" if held else "ready"}, "what waits is parked while, and only while, it is held"
        for task in Task.objects.all():
            assert self.final.get(task.pk, task.status) == task.status, "a final state changed"
            if task.status in FINAL:
                self.final[task.pk] = task.status

    def submit(self, pick: int) -> None:
        submit(self.app, max_retries=pick % 3)

    def claim(self, pick: int) -> None:
        if run := start(self.app, self.workers[pick % 2]):
            assert not Hold.objects.exists()
            self.runs.append(run)

    def ask(self, pick: int) -> None:
        """The run waits for decisions about one call or two."""
        calls = [
            approvals.Call(Approval.Kind.IN_DOUBT, f"tool:1:{name}", "charge", {"amount": pick})
            for name in "ab"[: 1 + pick % 2]
        ]
        self._settle(pick, lambda run: approvals.ask(self.app, run, calls))

    def decide(self, pick: int) -> None:
        """Decides about any approval, also about one that is closed."""
        found = list(Approval.objects.order_by("pk"))
        if not found:
            return
        approval = found[pick % len(found)]
        was_open = approval.status == Approval.Status.OPEN
        decision = ("ran", "run_again", "fail")[pick % 3]
        answer = pick if decision == "ran" else None
        try:
            approvals.decide(self.app, approval, by="anna", decision=decision, answer=answer)
        except AlreadyDecided:
            assert not was_open
        else:
            assert was_open

    def hold(self, pick: int) -> None:
        holds.hold(self.app, ("", "agent")[pick % 2], by="anna")

    def lift(self, pick: int) -> None:
        for lane in ("", "agent"):
            holds.lift(self.app, lane, by="anna")

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
        self._operate(pick, lifecycle.cancel, allowed={"pending", "running", "input_required"})

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
