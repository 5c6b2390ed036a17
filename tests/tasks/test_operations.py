"""Bulk work on dead letters: exactly the set that was shown, worked off once, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from apps.queue import entries, leases, workers
from apps.queue.models import QueueEntry, Worker
from apps.tasks import dead_letters, journal, operations, operations_run, recovery
from apps.tasks.dead_letters import LetterFilter
from apps.tasks.errors import TaskError
from apps.tasks.integrity import complaints
from apps.tasks.models import DeadLetter, Event, Operation, OperationItem, Task, TaskStatus
from apps.tasks.operations import (
    FilterEmpty,
    NothingMatches,
    OperationEnded,
    OperationRefused,
    Request,
    SetChanged,
    Shown,
    Step,
    UnknownLetters,
)
from apps.tenancy.models import App
from tests.support import functions
from tests.support.agents import apply, document, function, submit
from tests.support.letters import letter, letters
from tests.support.transitions import settle, start
from tests.support.work import ended, wait_for, working

ALL = LetterFilter()


def asked(verb: str = "retry", which: LetterFilter = ALL, **options: Any) -> Request:
    return Request(verb, which, everything=which.is_empty, **options)


def statuses() -> list[str]:
    return list(DeadLetter.objects.order_by("pk").values_list("status", flat=True))


def work_off(app: App, operation: Operation) -> Operation:
    """All steps, as a worker takes them."""
    while not (step := operations.step(app, operation.pk)).over:
        assert not step.pause
    operation.refresh_from_db()
    return operation


def outcomes(operation: Operation) -> dict[str, int]:
    return {name: number for name, number in operations.counts(operation).items() if number}


# --- Starting -----------------------------------------------------------------------------------------------------
def test_an_empty_filter_is_refused_unless_all_is_said(app: App, worker: Worker) -> None:
    letters(app, worker, 2)
    for which in (LetterFilter(), LetterFilter(status="open"), LetterFilter(up_to=10**9)):
        with pytest.raises(FilterEmpty):
            operations.start(app, Request("discard", which), by="anna")
    assert not Operation.objects.exists()
    assert operations.start(app, Request("discard", ALL, everything=True), by="anna").total == 2


def test_only_open_letters_are_touched_and_new_ones_are_left_out(app: App, worker: Worker) -> None:
    first, second = letters(app, worker, 2)
    dead_letters.discard(app, first, by="anna")
    operation = operations.start(app, asked("discard", reason="a test"), by="anna")
    entries.remove(app, operation.pk, kind="operation")  # the test works it off
    late = letter(app, worker)
    assert outcomes(work_off(app, operation)) == {"done": 1}
    assert [item.dead_letter_id for item in operation.items.all()] == [second.pk]
    late.refresh_from_db()
    assert late.status == "open"


def test_a_set_that_changed_since_it_was_shown_is_refused_with_both_counts(app: App, worker: Worker) -> None:
    made = letters(app, worker, 3)
    seen = operations.shown(ALL)
    assert seen.count == 3
    dead_letters.discard(app, made[0], by="bob")
    with pytest.raises(SetChanged, match="3 dead letters were shown and 2 match now"):
        operations.start(app, asked(), by="anna", expected=seen)
    letter(app, worker)  # as many again, but not the same ones
    with pytest.raises(SetChanged):
        operations.start(app, asked(), by="anna", expected=seen)
    assert operations.start(app, asked(), by="anna", expected=Shown(3)).total == 3
    assert Operation.objects.count() == 1
    assert QueueEntry.objects.count() == 1


def test_letters_are_named_one_by_one_and_an_unknown_one_stops_all(app: App, worker: Worker) -> None:
    first, _, third = letters(app, worker, 3)
    with pytest.raises(UnknownLetters, match="no dead letter 999999"):
        operations.start(app, asked(which=LetterFilter(ids=(first.pk, 999999))), by="anna")
    dead_letters.discard(app, first, by="bob")
    operation = operations.start(app, asked(which=LetterFilter(ids=(first.pk, third.pk))), by="anna")
    assert outcomes(work_off(app, operation)) == {"done": 1, "skipped": 1}
    assert operation.items.get(outcome="skipped").detail == "this dead letter was discarded already by bob"
    assert statuses() == ["discarded", "open", "retried"]


def test_nothing_to_do_starts_nothing(app: App) -> None:
    with pytest.raises(NothingMatches):
        operations.start(app, asked(which=LetterFilter(agent="nobody")), by="anna")
    with pytest.raises(OperationRefused, match="only a retry"):
        operations.start(app, asked("discard", canary=True), by="anna")
    assert not Event.objects.exists()


def test_who_did_what_is_in_the_record(app: App, worker: Worker) -> None:
    letters(app, worker, 2)
    operation = operations.start(app, asked("discard", LetterFilter(code="broken"), reason="a test"), by="anna")
    work_off(app, operation)
    begun, over = Event.objects.filter(task=None).order_by("pk")
    assert (begun.type, begun.actor, begun.payload["total"]) == ("operation_started", "anna", 2)
    assert begun.payload["filter"] == {"code": "broken"}
    assert over.payload == {"operation": str(operation.pk), "done": 2, "skipped": 0, "failed": 0}
    assert set(DeadLetter.objects.values_list("resolved_by", "reason")) == {("anna", "a test")}


# --- Working it off -----------------------------------------------------------------------------------------------
def test_each_letter_has_its_outcome_and_one_fault_stops_no_other(app: App, worker: Worker) -> None:
    letter(app, worker)
    strict = letter(app, worker, "strict", value={"order": 1})
    letter(app, worker)
    operation = work_off(app, operations.start(app, asked(new_input={"text": "other"}), by="anna"))
    assert (operation.status, outcomes(operation)) == ("completed", {"done": 2, "failed": 1})
    failed = operation.items.get(outcome="failed")
    assert failed.dead_letter_id == strict.pk and "'order' is a required property" in failed.detail
    assert statuses() == ["retried", "open", "retried"]
    assert complaints(app) == []


def test_a_fault_of_ours_fails_its_item_and_undoes_only_that(
    app: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *_ = letters(app, worker, 3)
    discard = dead_letters.discard

    def faulty(app: App, letter: DeadLetter, **options: Any) -> DeadLetter:
        done = discard(app, letter, **options)
        if letter.pk == first.pk:
            raise RuntimeError("a bug")
        return done

    monkeypatch.setattr(dead_letters, "discard", faulty)
    operation = work_off(app, operations.start(app, asked("discard"), by="anna"))
    assert outcomes(operation) == {"done": 2, "failed": 1}
    assert statuses() == ["open", "discarded", "discarded"]


def test_a_set_of_many_steps_is_worked_off_to_the_last(
    app: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "BATCH", 2)
    letters(app, worker, 4)
    assert outcomes(work_off(app, operations.start(app, asked("discard"), by="anna"))) == {"done": 4}


def test_two_operations_on_the_same_letters_do_each_once(app: App, worker: Worker) -> None:
    letters(app, worker, 2)
    one, two = (operations.start(app, asked(verb), by=verb) for verb in ("discard", "retry"))
    assert outcomes(work_off(app, one)) == {"done": 2}
    assert outcomes(work_off(app, two)) == {"skipped": 2}
    assert not Task.objects.exclude(status="failed").exists()


def test_a_stopped_operation_does_nothing_more_and_says_who_stopped_it(
    app: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "BATCH", 1)
    letters(app, worker, 3)
    operation = operations.start(app, asked(), by="anna")
    operations.step(app, operation.pk)
    operation = operations.stop(app, operation, by="bob", reason="too soon")
    assert (operation.status, operation.stopped_by, operation.stop_reason) == ("stopped", "bob", "too soon")
    assert operations.step(app, operation.pk) == Step(over=True)
    assert outcomes(operation) == {"done": 1, "waiting": 2}
    assert not QueueEntry.objects.filter(kind="operation").exists()
    with pytest.raises(OperationEnded, match="stopped"):
        operations.stop(app, operation, by="bob")
    assert complaints(app) == []


def test_letters_that_are_no_longer_kept_are_told_apart(app: App, worker: Worker) -> None:
    made = letters(app, worker, 2)
    operation = work_off(app, operations.start(app, asked("discard"), by="anna"))
    made[0].task.delete()
    assert outcomes(operation) == {"done": 1, "gone": 1}


# --- One first ----------------------------------------------------------------------------------------------------
@pytest.fixture
def canary(app: App, worker: Worker) -> Callable[[], Operation]:
    """Starts a retry of three letters with a canary, and does the canary."""

    def begin() -> Operation:
        letters(app, worker, 3)
        operation = operations.start(app, asked(canary=True), by="anna")
        assert operations.step(app, operation.pk) == Step(over=False)
        entries.remove(app, operation.pk, kind="operation")
        return operation

    return begin


def test_with_a_canary_the_others_wait_until_its_task_has_ended(
    app: App, worker: Worker, canary: Callable[[], Operation]
) -> None:
    operation = canary()
    assert operations.step(app, operation.pk).pause >= 1
    assert statuses() == ["retried", "open", "open"]
    run = start(app, worker)
    assert run and operations.step(app, operation.pk).pause >= 1
    settle(app, run, journal.complete(run, "well"))
    assert outcomes(work_off(app, operation)) == {"done": 3}
    assert statuses() == ["retried"] * 3


def test_a_canary_that_fails_stops_the_operation_and_spares_the_others(
    app: App, worker: Worker, canary: Callable[[], Operation]
) -> None:
    operation = canary()
    run = start(app, worker)
    assert run
    settle(app, run, journal.fail(run, TaskError("broken", "still broken")))
    assert work_off(app, operation).status == "stopped"
    assert operation.stop_reason == "the task that was retried first is failed: still broken"
    assert (operation.stopped_by, outcomes(operation)) == ("", {"done": 1, "waiting": 2})
    assert statuses() == ["retried", "open", "open", "open"]


def test_a_canary_that_cannot_even_be_retried_stops_the_operation(app: App, worker: Worker) -> None:
    for _ in range(2):
        letter(app, worker, "strict", value={"order": 1})
    operation = operations.start(app, asked(canary=True, new_input={"order": "one"}), by="anna")
    assert work_off(app, operation).status == "stopped"
    assert "could not be retried" in operation.stop_reason
    assert statuses() == ["open", "open"]


def test_the_next_letter_is_the_canary_if_the_first_was_resolved_meanwhile(app: App, worker: Worker) -> None:
    first, *_ = letters(app, worker, 3)
    operation = operations.start(app, asked(canary=True), by="anna")
    dead_letters.discard(app, first, by="bob")
    operations.step(app, operation.pk)
    operations.step(app, operation.pk)
    assert statuses() == ["discarded", "retried", "open"]
    assert operations.step(app, operation.pk).pause >= 1


# --- On the workers -----------------------------------------------------------------------------------------------
def test_an_operation_that_lost_its_entry_is_queued_again(app: App, worker: Worker) -> None:
    letters(app, worker, 1)
    operation = operations.start(app, asked("discard"), by="anna")
    QueueEntry.objects.all().delete()
    assert complaints(app) == [f"running operation without its queue entry: {operation.pk}"]
    assert recovery._enqueue_operations(app) == 1
    assert recovery._remove_orphans(app) == 0
    assert recovery._enqueue_operations(app) == 0
    assert complaints(app) == []


def test_the_entry_of_an_operation_that_is_over_is_dropped(app: App, worker: Worker) -> None:
    letters(app, worker, 1)
    work_off(app, operations.start(app, asked("discard"), by="anna"))
    assert operations_run.begin(app, leases.claim(worker.pk, 1), str(worker)) == []
    assert not QueueEntry.objects.exists()


@pytest.fixture
def running(app: App, transactional_db: None, settings: Any) -> App:
    """The App's functions may run."""
    settings.HECTOR_GRACE = 6.0
    functions.calls.clear()
    apply(app, document({"agent": function("echo"), "boom": function("boom", retry={"max_retries": 0})}), by="tests")
    return app


def failed(app: App, worker: Worker, count: int, agent: str = "agent") -> list[Task]:
    made = [letter(app, worker, agent).task for _ in range(count)]
    workers.sign_off(worker.pk)
    return made


def over(operation: Operation) -> Operation:
    def look() -> bool:
        operation.refresh_from_db()
        return operation.status != "running"

    wait_for(look, what="the operation is over")
    return operation


def test_the_workers_work_an_operation_off_and_run_what_it_retried(running: App, worker: Worker) -> None:
    tasks = failed(running, worker, 25)
    operation = operations.start(running, asked(), by="anna")
    with working():
        over(operation)
        assert {ended(task).status for task in tasks} == {TaskStatus.COMPLETED}
    assert (operation.status, outcomes(operation)) == ("completed", {"done": 25})
    assert functions.calls["echo"] == 25
    assert not QueueEntry.objects.exists()
    assert complaints(running) == []


def test_a_canary_is_run_and_the_rest_follows_by_itself(
    running: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "CANARY_LOOKS", (0.05, 0.1))
    failed(running, worker, 3)
    operation = operations.start(running, asked(canary=True), by="anna")
    with working():
        assert over(operation).status == "completed"
    assert outcomes(operation) == {"done": 3}


def test_a_canary_that_breaks_again_stops_the_rest(
    running: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "CANARY_LOOKS", (0.05, 0.1))
    failed(running, worker, 3, "boom")
    operation = operations.start(running, asked(canary=True), by="anna")
    with working():
        assert over(operation).status == "stopped"
    assert functions.calls["boom"] == 1
    assert complaints(running) == []


def test_a_worker_that_died_in_the_middle_is_followed_by_one_that_repeats_nothing(
    running: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operations, "BATCH", 2)
    tasks = failed(running, worker, 5)
    operation = operations.start(running, asked(), by="anna")
    dying = workers.register(slots=1)
    [lease] = leases.claim(dying.pk, 1)
    assert operations_run.begin(running, [lease], str(dying))
    with transaction.atomic():
        operations.step(running, operation.pk)
    workers.sign_off(dying.pk)
    with working():
        over(operation)
        assert {ended(task).status for task in tasks} == {TaskStatus.COMPLETED}
    assert outcomes(operation) == {"done": 5}
    assert functions.calls["echo"] == 5
    assert OperationItem.objects.filter(at=None).count() == 0


def test_a_step_that_cannot_be_done_is_tried_again_later(
    running: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed(running, worker, 1)
    operation = operations.start(running, asked("discard"), by="anna")

    def broken(app: App, operation_id: object) -> Step:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patched, working():
        patched.setattr(operations, "step", broken)
        wait_for(lambda: QueueEntry.objects.filter(state="scheduled").exists(), what="put off")
    assert complaints(running) == []
    QueueEntry.objects.update(state="ready", run_at=None)
    with working():
        assert over(operation).status == "completed"


def test_a_task_submitted_beside_an_operation_is_not_kept_waiting(running: App, worker: Worker) -> None:
    failed(running, worker, 1)
    operations.start(running, asked("discard"), by="anna")
    task = submit(running)
    with working(slots=1):
        assert ended(task).status == TaskStatus.COMPLETED
