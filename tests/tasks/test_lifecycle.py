"""Submitting, cancelling, retrying: what each does, and what it refuses."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from apps.queue import entries, leases
from apps.queue.entries import NewEntry
from apps.queue.models import QueueEntry, Worker
from apps.tasks import journal, lifecycle, recovery
from apps.tasks.errors import IllegalTransition, InputInvalid, TaskError, UnknownAgent
from apps.tasks.integrity import complaints
from apps.tasks.journal import Change, NewCheckpoint
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Checkpoint, DeadLetter, Task, TaskStatus
from apps.tenancy.models import App
from tests.support.agents import submit
from tests.support.transitions import fresh, settle, start
from tests.support.work import event_types

PERMANENT = TaskError("broken", "it is broken")


def test_a_task_is_accepted_with_its_entry_and_event_or_not_at_all(app: App) -> None:
    with pytest.raises(UnknownAgent):
        lifecycle.submit_many(app, [NewTask("agent", "one"), NewTask("nobody", "two")], by="anna")
    assert not Task.objects.exists()
    assert not QueueEntry.objects.exists()
    task = submit(app)
    assert QueueEntry.objects.get().key == task.pk
    event = task.events.get()
    assert (event.seq, event.actor, event.payload) == (1, "tests", {"to": "pending"})


def test_an_input_that_does_not_fit_the_schema_is_refused_with_the_place(app: App) -> None:
    with pytest.raises(InputInvalid, match=r"\$\.order"):
        submit(app, "strict", {"order": "seven"})
    assert not Task.objects.exists()
    assert submit(app, "strict", {"order": 7}).status == TaskStatus.PENDING


def test_a_waiting_task_is_cancelled_at_once(app: App) -> None:
    task = lifecycle.cancel(app, submit(app), by="anna", reason="not needed")
    assert task.status == TaskStatus.CANCELLED and task.finished_at
    assert not QueueEntry.objects.exists()
    last = task.events.latest("seq")
    assert (last.type, last.actor, last.payload["reason"]) == ("execution_cancelled", "anna", "not needed")


def test_a_running_task_is_asked_and_not_marked(app: App, worker: Worker) -> None:
    task = submit(app)
    run = start(app, worker)
    task = lifecycle.cancel(app, task, by="anna")
    assert (task.status, task.cancel_requested_at is not None) == (TaskStatus.RUNNING, True)
    assert leases.cancel_requests(worker.pk) == {run.lease.id if run else 0}


def test_a_cancelled_task_whose_worker_died_does_not_run_again(app: App, worker: Worker) -> None:
    task = submit(app)
    run = start(app, worker)
    assert run
    lifecycle.cancel(app, task, by="anna")
    leases.give_back([run.lease])
    assert start(app, worker) is None
    assert fresh(task).status == TaskStatus.CANCELLED
    assert complaints(app) == []


def test_an_ended_task_cannot_be_cancelled(app: App, worker: Worker) -> None:
    task = submit(app)
    run = start(app, worker)
    assert run and settle(app, run, journal.complete(run, 1)) is None
    with pytest.raises(IllegalTransition, match="completed"):
        lifecycle.cancel(app, task, by="anna")
    assert fresh(task).status == TaskStatus.COMPLETED


def test_a_failed_task_can_be_retried_and_its_letter_says_so(app: App, worker: Worker) -> None:
    task = submit(app)
    run = start(app, worker)
    assert run and settle(app, run, journal.fail(run, PERMANENT)) is None
    task = lifecycle.retry(app, fresh(task), by="anna", reason="fixed")
    assert (task.status, task.attempt, task.error) == (TaskStatus.PENDING, 0, None)
    assert DeadLetter.objects.get().status == DeadLetter.Status.RETRIED
    again = start(app, worker)
    assert again and again.epoch > run.epoch
    assert settle(app, again, journal.complete(again, "ok")) is None
    assert fresh(task).output == "ok"
    assert task.attempts.count() == 2
    assert complaints(app) == []


def test_a_retry_does_not_mind_an_entry_that_a_crash_has_left(app: App, worker: Worker) -> None:
    task = lifecycle.cancel(app, submit(app), by="anna")
    entries.enqueue(app, [NewEntry(task.pk)])
    assert lifecycle.retry(app, task, by="anna").status == TaskStatus.PENDING
    assert complaints(app) == []


@pytest.mark.parametrize("status", ["pending", "running", "completed"])
def test_only_a_failed_or_cancelled_task_is_retried(app: App, worker: Worker, status: str) -> None:
    task = submit(app)
    if status != "pending":
        run = start(app, worker)
        assert run
        if status == "completed":
            settle(app, run, journal.complete(run, 1))
    with pytest.raises(IllegalTransition, match=status):
        lifecycle.retry(app, fresh(task), by="anna")


def test_a_retry_goes_on_from_the_journal_and_with_another_input_from_the_beginning(app: App, worker: Worker) -> None:
    task = submit(app)
    run = start(app, worker)
    assert run
    point = NewCheckpoint(Checkpoint.Kind.TOOL_RESULT, "tool:1:a", {"kind": "value", "value": 1})
    journal.commit(app, [Change(run, [point], settlement=journal.fail(run, PERMANENT))])
    lifecycle.retry(app, fresh(task), by="anna")
    [(lease, started)] = lifecycle.begin(app, leases.claim(worker.pk, 1), str(worker))
    assert [checkpoint.key for checkpoint in started.checkpoints] == ["tool:1:a"]
    run = journal.Run(task.pk, task.agent, 1, lease)
    settle(app, run, journal.fail(run, PERMANENT))
    task = lifecycle.retry(app, fresh(task), by="anna", new_input={"text": "other"})
    assert task.input == {"text": "other"}
    [(_, started)] = lifecycle.begin(app, leases.claim(worker.pk, 1), str(worker))
    assert started.checkpoints == []


def test_writes_of_a_run_that_lost_its_lease_are_refused_and_leave_nothing(app: App, worker: Worker) -> None:
    task = submit(app)
    old = start(app, worker)
    assert old
    leases.give_back([old.lease])
    new = start(app, worker)
    assert new
    point = NewCheckpoint(Checkpoint.Kind.MODEL, "model:1", {})
    outcomes = journal.commit(app, [Change(old, [point]), Change(new, [point])])
    assert [outcome is None for outcome in outcomes] == [False, True]
    assert settle(app, old, journal.complete(old, "stale")) is not None
    assert fresh(task).status == TaskStatus.RUNNING
    assert [checkpoint.epoch for checkpoint in task.checkpoints.all()] == [new.epoch]
    assert complaints(app) == []


def test_changes_of_one_run_that_are_written_together_keep_their_order(app: App, worker: Worker) -> None:
    task = submit(app)
    run = start(app, worker)
    assert run
    changes = [
        Change(run, [NewCheckpoint(Checkpoint.Kind.MODEL, f"model:{number}", number)], list(event))
        for number, event in enumerate([journal.complete(run, None).events, (), journal.cancelled(run).events], 1)
    ]
    journal.commit(app, [*changes, Change(run, settlement=journal.complete(run, "end"))])
    assert [(point.seq, point.value) for point in task.checkpoints.all()] == [(1, 1), (2, 2), (3, 3)]
    assert event_types(task)[2:] == ["execution_completed", "execution_cancelled", "execution_completed"]
    assert complaints(app) == []


def test_the_sweep_queues_a_task_that_lost_its_entry(app: App, worker: Worker) -> None:
    waiting, running = submit(app), submit(app)
    QueueEntry.objects.filter(key=running.pk).update(priority=1)
    run = start(app, worker)
    assert run and run.task_id == running.pk
    QueueEntry.objects.all().delete()
    assert len(complaints(app)) == 2
    assert recovery._enqueue_missing(app) == 2
    assert complaints(app) == []
    again = start(app, worker)
    second = start(app, worker)
    assert again and second and {again.task_id, second.task_id} == {waiting.pk, running.pk}
    assert fresh(running).attempts.get().outcome == "crashed"
    assert fresh(running).epoch > run.epoch


def test_the_sweep_removes_the_entry_of_a_task_that_is_over(app: App) -> None:
    task = submit(app)
    Task.objects.filter(pk=task.pk).update(status="cancelled", finished_at="2026-01-01T00:00Z")
    assert complaints(app) == [f"queue entry of a task that is over: {task.pk}"]
    assert recovery._remove_orphans(app) == 1
    assert complaints(app) == []


@pytest.mark.parametrize(
    "impossible",
    [{"status": "completed"}, {"status": "done"}, {"status": "failed", "finished_at": "2026-01-01T00:00Z"}],
)
def test_the_database_refuses_impossible_tasks(app: App, impossible: dict[str, str]) -> None:
    submit(app)
    with pytest.raises(IntegrityError), transaction.atomic():
        Task.objects.update(**impossible)


def test_errors_that_differ_only_in_numbers_have_one_fingerprint() -> None:
    def fingerprint(message: str, agent: str = "agent", code: str = "broken") -> str:
        return TaskError(code, message).fingerprint(agent)

    first = fingerprint("order 17 of 0198c0de-0000-7000-8000-000000000001 failed at 0x7f00")
    assert first == fingerprint("order 18 of 0198c0de-0000-7000-8000-0000000000ff failed at 0x7f01")
    assert first != fingerprint("order 17 of 0198c0de-0000-7000-8000-000000000001 burnt at 0x7f00")
    assert first != fingerprint("order 17 of 0198c0de-0000-7000-8000-000000000001 failed at 0x7f00", agent="other")
