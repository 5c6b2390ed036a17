"""`max_concurrent` and `on_limit` of entry points: what runs, what waits, what makes room, and what is written down."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from apps.agents.config.checks import validate
from apps.agents.config.faults import ConfigInvalid
from apps.approvals import lifecycle as approvals
from apps.approvals.models import Approval
from apps.queue import leases, limits, workers
from apps.queue.models import GroupLimit
from apps.tasks import journal, recovery
from apps.tasks import lifecycle as tasks
from apps.tasks.errors import TaskError
from apps.tasks.integrity import complaints
from apps.tasks.journal import Change, Run, Settlement
from apps.tasks.models import FINAL, Task
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from apps.triggers.entry_points import firing, lifecycle
from apps.triggers.models import Firing
from tests.support.agents import document
from tests.support.people import ANNA
from tests.support.transitions import fresh
from tests.triggers.entry_points import AGENTS, entry, named, put

pytestmark = pytest.mark.django_db(transaction=True)
Outcome = Firing.Outcome


def fire(app: App) -> Firing:
    return lifecycle.trigger(app, named("report"), by="anna")


def started(app: App) -> Task:
    return Task.objects.get(pk=fire(app).task)


class Worker:
    """Runs tasks step by step."""

    def __init__(self, app: App) -> None:
        self.app, self.row = app, workers.register(slots=8)
        self.runs: dict[UUID, Run] = {}

    def begins(self) -> list[Task]:
        """What it begins now, the oldest first."""
        claimed = leases.claim(self.row.pk, 8)
        begun = tasks.begin(self.app, claimed, str(self.row))
        if len(begun) < len(claimed):
            limits.release(self.app.pk)
        self.runs |= {one.task.pk: Run(one.task.pk, one.task.agent, one.task.attempt, lease) for lease, one in begun}
        return sorted([one.task for _, one in begun], key=lambda task: task.pk)

    def ends(self, task: Task) -> str:
        run = self.runs.pop(task.pk)
        asked_to_stop = fresh(task).cancel_requested_at is not None
        return self._settle(task, run, journal.cancelled(run) if asked_to_stop else journal.complete(run, "done"))

    def asks(self, task: Task) -> str:
        run = self.runs.pop(task.pk)
        call = approvals.Call(Approval.Kind.IN_DOUBT, "tool:1:a", "charge", {"amount": 5})
        return self._settle(task, run, approvals.ask(self.app, run, [call]))

    def _settle(self, task: Task, run: Run, settlement: Settlement) -> str:
        with transaction.atomic():
            assert journal.commit(self.app, [Change(run, settlement=settlement)]) == [None]
        limits.release(self.app.pk)
        return fresh(task).status


@pytest.fixture
def worker(app: App) -> Worker:
    return Worker(app)


@pytest.mark.parametrize(
    ("found", "pointer", "says"),
    [
        (entry(max_concurrent=0), "/max_concurrent", "greater than or equal to 1"),
        (entry(max_concurrent="many"), "/max_concurrent", "whole number"),
        (entry(max_concurrent=1, on_limit="wait"), "/on_limit", "'queue', 'skip' or 'replace'"),
        (entry(on_limit="skip"), "/on_limit", "max_concurrent"),
        (entry(count_waiting=True), "/count_waiting", "max_concurrent"),
    ],
)
def test_a_limit_that_cannot_be_is_refused_when_it_is_written(found: Any, pointer: str, says: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        validate(document(AGENTS) | {"entry_points": {"e": found}})
    said = {fault.pointer: fault.detail for fault in refused.value.faults}
    assert says in said[f"/entry_points/e{pointer}"], said


def test_at_the_limit_tasks_wait_first_in_first_out_and_say_so(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=2), other=entry())
    made = [fire(app) for _ in range(4)]
    other = lifecycle.trigger(app, named("other"), by="anna")
    assert [one.outcome for one in made] == [Outcome.STARTED] * 2 + [Outcome.QUEUED] * 2
    assert made[2].reason == "It waits: 2 of 2 were under way already."
    running = worker.begins()
    assert [task.pk for task in running] == [made[0].task, made[1].task, other.task]
    worker.ends(running[1])
    assert [task.pk for task in worker.begins()] == [made[2].task]


def test_skip_makes_no_task_and_says_why(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=1, on_limit="skip"))
    first, second = fire(app), fire(app)
    assert (second.outcome, second.task) == (Outcome.SKIPPED, None)
    assert second.reason == "1 of 1 were under way already."
    [task] = worker.begins()
    worker.ends(task)
    assert (first.task, fire(app).outcome) == (task.pk, Outcome.STARTED)


def test_of_firings_that_come_together_one_starts_and_the_others_are_skipped(app: App) -> None:
    put(app, report=entry(max_concurrent=1, on_limit="skip"))
    starts = [firing.Start(named("report"), Firing.Cause.BACKFILL, {}, str(n)) for n in range(3)]
    made = firing.fire_many(app, starts)
    assert [one.outcome for one in made] == [Outcome.STARTED, Outcome.SKIPPED, Outcome.SKIPPED]
    assert Task.objects.count() == 1


def test_replace_stops_nothing_below_the_limit(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=2, on_limit="replace"))
    assert [fire(app).outcome for _ in range(2)] == [Outcome.STARTED] * 2
    assert len(worker.begins()) == 2 and not Task.objects.exclude(cancel_requested_at=None).exists()


def test_replace_starts_in_the_same_session_when_the_oldest_has_really_stopped(
    app: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "LOOK_AGAIN", 0.0)
    put(app, report=entry(max_concurrent=2, on_limit="replace", session="s{{ input.n }}"))
    for n in range(2):
        lifecycle.trigger(app, named("report"), by="anna", input={"n": n})
    first, second = worker.begins()
    new = lifecycle.trigger(app, named("report"), by="anna", input={"n": 2})
    assert (new.outcome, new.reason) == (Outcome.REPLACED, f"It takes the place of the task {first.pk}.")
    assert (fresh(first).status, first.cancel_requested_at is None) == ("running", False)
    assert fresh(second).cancel_requested_at is None
    worker.ends(second)
    assert worker.begins() == [], "there is room, and yet what it replaces runs on"
    assert worker.ends(first) == "cancelled"
    assert leases.promote_due() == 1
    assert [(task.pk, task.session) for task in worker.begins()] == [(new.task, "s0")]


def test_of_several_that_wait_to_replace_the_last_one_wins(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=1, on_limit="replace", session="mine"))
    started(app)
    [running] = worker.begins()
    waiting = [started(app) for _ in range(3)]
    assert [fresh(task).status for task in waiting] == ["cancelled", "cancelled", "pending"]
    assert waiting[0].events.get(type="execution_cancelled").payload["reason"] == (
        "A later firing of the entry point takes its place."
    )
    assert running.events.filter(type="state_changed", payload__cancel_requested=True).count() == 1
    assert worker.begins() == [] and worker.ends(running) == "cancelled"
    assert [(task.pk, task.session) for task in worker.begins()] == [(waiting[2].pk, "mine")]
    assert Firing.objects.filter(outcome=Outcome.REPLACED).count() == 3


def test_one_that_ended_before_it_could_be_stopped_keeps_its_end(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=1, on_limit="replace"))
    started(app)
    [running] = worker.begins()
    new = started(app)
    run = worker.runs.pop(running.pk)
    assert worker._settle(running, run, journal.complete(run, "done")) == "completed"
    assert [task.pk for task in worker.begins()] == [new.pk]
    assert fresh(running).status == "completed"


def test_a_worker_that_dies_while_its_task_is_to_stop_leaves_the_place_to_the_new_one(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=1, on_limit="replace"))
    started(app)
    [running] = worker.begins()
    new = started(app)
    workers.sign_off(worker.row.pk)
    other = Worker(app)
    assert other.begins() == [] and fresh(running).status == "cancelled"
    assert [task.pk for task in other.begins()] == [new.pk]


@pytest.mark.parametrize("count_waiting", [False, True])
def test_what_waits_for_a_person_counts_if_the_entry_point_says_so(
    app: App, worker: Worker, count_waiting: bool
) -> None:
    put(app, report=entry(max_concurrent=1, count_waiting=count_waiting))
    first, second = started(app), started(app)
    worker.begins()
    assert worker.asks(first) == "input_required"
    if not count_waiting:
        assert [task.pk for task in worker.begins()] == [second.pk]
        return
    assert worker.begins() == [] and fire(app).outcome == Outcome.QUEUED
    approvals.decide(app, Approval.objects.select_related("task").get(), "run_again", by=ANNA)
    assert [task.pk for task in worker.begins()] == [first.pk], "it keeps its place"
    worker.asks(first)
    tasks.cancel(app, fresh(first), by="anna")
    assert [task.pk for task in worker.begins()] == [second.pk]


def test_a_place_that_counts_for_somebody_who_waits_is_free_when_that_fails(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=1, count_waiting=True))
    first, second = started(app), started(app)
    worker.begins()
    worker.asks(first)
    with transaction.atomic():
        tasks.fail_waiting(fresh(first), TaskError("x", "x"), by="anna")
    assert [task.pk for task in worker.begins()] == [second.pk]


def test_what_waits_is_counted_when_that_begins_to_matter_and_after_an_accident(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=1))
    first = started(app)
    worker.begins()
    worker.asks(first)
    put(app, report=entry(max_concurrent=1, count_waiting=True))
    assert GroupLimit.objects.get().waiting == 1
    GroupLimit.objects.update(waiting=7)
    recovery.repair(app)
    assert GroupLimit.objects.get().waiting == 1


def test_replace_takes_the_place_of_one_that_waits_for_a_person_if_that_counts(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=1, on_limit="replace", count_waiting=True))
    first = started(app)
    worker.begins()
    worker.asks(first)
    new = started(app)
    assert fresh(first).status == "cancelled" and not Approval.objects.filter(status="open").exists()
    assert [task.pk for task in worker.begins()] == [new.pk] and complaints(app) == []


def test_a_changed_limit_counts_at_once_and_a_removed_entry_point_has_none(app: App, worker: Worker) -> None:
    put(app, report=entry(max_concurrent=1))
    made = [started(app) for _ in range(6)]
    assert len(worker.begins()) == 1
    put(app, report=entry(max_concurrent=3))
    assert len(worker.begins()) == 2
    put(app)
    assert not GroupLimit.objects.exists() and len(worker.begins()) == len(made) - 3


@pytest.mark.sampled("postgresql")
@pytest.mark.parametrize("policy", ["skip", "replace"])
def test_triggers_at_the_same_time_agree_who_starts(app: App, policy: str) -> None:
    put(app, report=entry(max_concurrent=1, on_limit=policy))

    def trigger(_: int) -> None:
        try:
            with in_app(app):
                fire(app)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(trigger, range(12)))
    assert Task.objects.exclude(status__in=FINAL).count() == 1
    assert Firing.objects.count() == 12 and complaints(app) == []
    last = Firing.objects.exclude(task=None).order_by("-task").first()
    assert last and Task.objects.exclude(status__in=FINAL).get().pk == last.task
