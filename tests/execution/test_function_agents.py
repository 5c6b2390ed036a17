"""Function agents: durable jobs without a model."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from apps.queue.models import QueueEntry
from apps.tasks import lifecycle
from apps.tasks.models import Attempt, DeadLetter, TaskStatus
from apps.tenancy.models import App
from tests.support import functions
from tests.support.agents import apply, document, function, submit
from tests.support.work import ended, event_types, payloads, wait_for, working


@pytest.fixture(autouse=True)
def _agents(app: App, _functions: None) -> None:
    names = ("echo", "echo_async", "boom", "refuse", "busy", "not_json", "nul", "hold", "sleep_long", "spin")
    apply(app, document({name.replace("_", "-"): function(name) for name in names}), by="tests")


def test_a_task_runs_and_its_result_is_kept(app: App) -> None:
    task = submit(app, "echo", {"order": 7})
    with working():
        ended(task)
    assert (task.status, task.output, task.attempt) == (TaskStatus.COMPLETED, {"echo": {"order": 7}}, 1)
    assert task.started_at and task.finished_at and task.started_at <= task.finished_at
    assert event_types(task) == ["state_changed", "execution_started", "execution_completed"]
    assert not QueueEntry.objects.exists()


def test_text_is_stored_as_an_object(app: App) -> None:
    task = submit(app, "echo-async", "hello")
    with working():
        ended(task)
    assert task.output == {"echo": {"text": "hello"}}


def test_with_two_retries_a_failing_task_runs_three_times_and_is_dead_lettered(app: App) -> None:
    task = submit(app, "boom")
    with working():
        ended(task)
    assert functions.calls["boom"] == 3
    assert task.status == TaskStatus.FAILED
    assert task.error == {"code": "unexpected", "message": "boom number 3", "retryable": True}
    attempts = list(task.attempts.all())
    assert [attempt.number for attempt in attempts] == [1, 2, 3]
    assert all("RuntimeError" in attempt.traceback for attempt in attempts)
    assert [payload["attempt"] for payload in payloads(task, "retry_scheduled")] == [1, 2]
    letter = DeadLetter.objects.get(task=task)
    assert (letter.status, letter.error) == (DeadLetter.Status.OPEN, task.error)


def test_each_wait_before_a_retry_is_at_most_what_is_set(app: App) -> None:
    task = submit(app, "boom")
    with working():
        ended(task)
    first, second = [payload["delay_seconds"] for payload in payloads(task, "retry_scheduled")]
    assert 0.01 <= first <= 0.02
    assert 0.02 <= second <= 0.04


def test_a_task_may_set_its_own_number_of_retries(app: App) -> None:
    task = submit(app, "boom", max_retries=0)
    with working():
        ended(task)
    assert functions.calls["boom"] == 1


def test_an_error_that_cannot_pass_is_not_tried_again(app: App) -> None:
    task = submit(app, "refuse")
    with working():
        ended(task)
    assert functions.calls["refuse"] == 1
    assert task.error == {"code": "no_such_customer", "message": "there is no such customer", "retryable": False}


def test_what_the_other_side_asks_to_wait_is_waited(app: App) -> None:
    task = submit(app, "busy", max_retries=1)
    with working():
        ended(task)
    [retried] = payloads(task, "retry_scheduled")
    assert retried["delay_seconds"] == 0.3
    first, second = task.attempts.all()
    assert (second.started_at - first.finished_at).total_seconds() >= 0.29


def test_a_result_that_is_not_json_fails_the_task_at_once(app: App) -> None:
    task = submit(app, "not-json")
    with working():
        ended(task)
    assert (task.status, task.attempt) == (TaskStatus.FAILED, 1)
    assert task.error is not None and task.error["code"] == "output_invalid"


def test_characters_that_no_database_stores_are_replaced_in_a_result(app: App) -> None:
    task = submit(app, "nul")
    with working():
        ended(task)
    assert (task.status, task.output, task.attempt) == (TaskStatus.COMPLETED, "a�b�", 1)


def test_an_attempt_that_takes_too_long_is_stopped_and_tried_again(app: App) -> None:
    task = submit(app, "sleep-long", timeout_seconds=0.1, max_retries=1)
    with working():
        ended(task)
    assert functions.calls["sleep_long"] == 2
    assert task.error == {"code": "timed_out", "message": "the attempt took longer than 0.1 s", "retryable": True}
    assert functions.stopped.is_set()


def test_a_deadline_that_passes_while_the_task_runs_ends_it(app: App) -> None:
    task = submit(app, "sleep-long", deadline=timezone.now() + timedelta(seconds=0.5))
    with working():
        ended(task)
    assert task.error is not None and task.error["code"] == "deadline_exceeded"
    assert functions.calls["sleep_long"] == 1


def test_a_task_whose_deadline_has_passed_never_starts(app: App) -> None:
    task = submit(app, "echo", deadline=timezone.now() - timedelta(seconds=1))
    with working():
        ended(task)
    assert task.error is not None and task.error["code"] == "deadline_exceeded"
    assert functions.calls["echo"] == 0


def test_a_task_for_later_waits_for_its_time(app: App) -> None:
    task = submit(app, "echo", run_at=timezone.now() + timedelta(seconds=0.4))
    with working():
        ended(task)
    assert task.started_at is not None
    assert (task.started_at - task.created_at).total_seconds() >= 0.39


@pytest.mark.parametrize("agent", ["sleep-long", "spin"])
def test_cancelling_a_running_task_stops_the_work_before_it_says_so(app: App, agent: str) -> None:
    task = submit(app, agent)
    with working():
        wait_for(lambda: functions.calls[agent.replace("-", "_")], what="the work started")
        task = lifecycle.cancel(app, task, by="anna", reason="wrong order")
        ended(task)
        assert functions.stopped.is_set()
    assert task.status == TaskStatus.CANCELLED
    assert task.attempts.get().outcome == Attempt.Outcome.CANCELLED
    [asked] = [payload for payload in payloads(task, "state_changed") if payload.get("cancel_requested")]
    assert asked["reason"] == "wrong order"


def test_a_worker_that_stops_hands_its_work_back_without_spending_an_attempt(app: App) -> None:
    task = submit(app, "sleep-long")
    with working():
        wait_for(lambda: functions.calls["sleep_long"], what="the work started")
    task.refresh_from_db()
    assert (task.status, task.attempt) == (TaskStatus.PENDING, 0)
    assert task.attempts.get().outcome == Attempt.Outcome.RELEASED
    assert QueueEntry.objects.get().state == QueueEntry.State.READY


def test_a_worker_that_stops_lets_work_finish_within_the_grace_time(app: App) -> None:
    task = submit(app, "hold")
    timer = threading.Timer(0.3, functions.release.set)
    with working():
        wait_for(lambda: functions.calls["hold"], what="the work started")
        timer.start()
    task.refresh_from_db()
    assert (task.status, task.output) == (TaskStatus.COMPLETED, "released")


def test_what_somebody_else_took_over_is_not_overwritten(app: App) -> None:
    task = submit(app, "hold")
    with working():
        wait_for(lambda: functions.calls["hold"], what="the work started")
        QueueEntry.objects.update(epoch=99)  # another worker has claimed it since
        functions.release.set()
    task.refresh_from_db()
    assert (task.status, task.output) == (TaskStatus.RUNNING, None)


def test_a_task_that_a_dead_worker_left_runs_again_and_the_crash_counts(app: App) -> None:
    task = submit(app, "echo")
    leave_running(app, attempts=1)
    with working():
        ended(task)
    assert task.status == TaskStatus.COMPLETED
    assert list(task.attempts.values_list("number", "outcome")) == [(1, "crashed"), (2, "completed")]


def test_a_task_that_kills_its_workers_ends_in_the_dead_letters(app: App) -> None:
    task = submit(app, "echo", max_retries=1)
    leave_running(app, attempts=2)
    with working():
        ended(task)
    assert functions.calls["echo"] == 0
    assert task.error is not None and task.error["code"] == "worker_crashed"
    assert DeadLetter.objects.filter(task=task, status="open").exists()


def leave_running(app: App, *, attempts: int) -> None:
    """What workers leave behind that die `attempts` times while they run the only task."""
    from apps.queue import leases, workers

    for _ in range(attempts):
        worker = workers.register(slots=1)
        [lease] = leases.claim(worker.pk, 1)
        with transaction.atomic():
            assert lifecycle.begin(app, [lease], str(worker))
        workers.sign_off(worker.pk)
