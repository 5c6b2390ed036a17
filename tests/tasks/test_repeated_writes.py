"""A commit whose answer is lost is handed in again: whatever was to be written has been written once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from django.db import OperationalError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from django.utils import timezone

from apps.approvals import lifecycle as approvals
from apps.approvals.models import Approval
from apps.queue import leases
from apps.queue.leases import Lease
from apps.queue.models import QueueEntry, Worker
from apps.tasks import journal, lifecycle
from apps.tasks.errors import TaskError
from apps.tasks.events import EventType, NewEvent
from apps.tasks.integrity import complaints
from apps.tasks.journal import Change, NewCheckpoint, Run, Settlement
from apps.tasks.lifecycle import Started
from apps.tasks.models import Checkpoint, Task, TaskStatus
from apps.tenancy.models import App
from tests.support import functions
from tests.support.agents import apply, call, function_tool, one_llm_agent, submit
from tests.support.rows import rows
from tests.support.transitions import settle, start
from tests.support.work import ended, event_types, working

Kind = Checkpoint.Kind
BUSY = TaskError("busy", "busy", retryable=True)
POINT = NewCheckpoint(Kind.MODEL, "model:1", {"messages": []})
NOTE = NewEvent(EventType.TOOL_CALL_STARTED, {"tool": "charge", "call": "tool:1:a", "arguments": {}})


def asked(app: App, run: Run) -> Settlement:
    return approvals.ask(app, run, [approvals.Call(Approval.Kind.IN_DOUBT, "tool:1:a", "charge", {"amount": 5})])


ENDS: dict[str, Callable[[App, Run], Settlement]] = {
    "complete": lambda app, run: journal.complete(run, "done"),
    "fail": lambda app, run: journal.fail(run, BUSY),
    "retry_later": lambda app, run: journal.retry_later(run, BUSY, 60.0),
    "cancelled": lambda app, run: journal.cancelled(run),
    "hand_back": lambda app, run: journal.hand_back(run),
    "wait_for_person": asked,
}


@pytest.fixture
def run(app: App, worker: Worker) -> Run:
    submit(app)
    found = start(app, worker)
    assert found
    return found


# --- What a run writes ------------------------------------------------------------------------------------------------
def test_what_a_run_adds_is_added_once(app: App, run: Run) -> None:
    change = Change(run, [POINT], [NOTE], {"requests": 1}, number=1)
    assert journal.commit(app, [change]) == [None]
    before = rows()
    assert journal.commit(app, [change]) == [None]
    assert rows() == before
    assert complaints(app) == []


@pytest.mark.parametrize("end", ENDS)
def test_a_run_ends_once(app: App, run: Run, end: str) -> None:
    change = Change(run, [POINT], [NOTE], settlement=ENDS[end](app, run), number=1)
    assert journal.commit(app, [change]) == [None]
    before = rows()
    assert journal.commit(app, [change]) == [None]
    assert rows() == before
    assert complaints(app) == []


def test_of_what_is_handed_in_together_only_what_is_new_is_written(app: App, run: Run, worker: Worker) -> None:
    submit(app)
    other = start(app, worker)
    assert other
    first, second = (
        Change(run, [NewCheckpoint(Kind.MODEL, f"model:{number}", number)], [NOTE], number=number) for number in (1, 2)
    )
    end = Change(other, settlement=journal.complete(other, "done"), number=1)
    journal.commit(app, [first, end])
    last = Change(run, settlement=journal.complete(run, "done"), number=3)
    assert journal.commit(app, [first, end, second, last]) == [None] * 4
    task = Task.objects.get(pk=run.task_id)
    assert [(point.seq, point.value) for point in task.checkpoints.all()] == [(1, 1), (2, 2)]
    assert event_types(task)[2:] == ["tool_call_started", "tool_call_started", "execution_completed"]
    assert (task.status, task.attempts.count()) == (TaskStatus.COMPLETED, 1)
    assert complaints(app) == []


def test_what_follows_a_change_that_was_not_written_is_refused(app: App, run: Run) -> None:
    before = rows()
    [refused] = journal.commit(app, [Change(run, [POINT], number=2)])
    assert refused is not None and rows() == before


@pytest.mark.parametrize("end", ["complete", "fail", "cancelled", "wait_for_person"])
def test_an_end_that_only_the_file_of_the_app_knows_of_ends_the_lease_when_it_is_handed_in_again(
    app: App, run: Run, end: str
) -> None:
    """SQLite commits the App's file and the shared one apart from each other: the first may be all that is there."""
    [entry] = QueueEntry.objects.values()
    change = Change(run, settlement=ENDS[end](app, run), number=1)
    journal.commit(app, [change])
    QueueEntry.objects.create(**entry)
    assert complaints(app) != []
    assert journal.commit(app, [change]) == [None]
    assert not QueueEntry.objects.exists()
    assert complaints(app) == []


@pytest.mark.parametrize("end", ["fail", "retry_later", "hand_back", "wait_for_person"])
def test_an_end_that_is_handed_in_late_does_nothing_to_the_attempt_after_it(
    app: App, run: Run, worker: Worker, end: str
) -> None:
    change = Change(run, settlement=ENDS[end](app, run), number=1)
    journal.commit(app, [change])
    task = Task.objects.get(pk=run.task_id)
    if end == "fail":
        lifecycle.retry(app, task, by="anna")
    elif end == "wait_for_person":
        Approval.objects.update(status="cancelled", closed_at=timezone.now())
        lifecycle.resume(app, task, by="anna")
    QueueEntry.objects.update(state="ready", run_at=None)
    again = start(app, worker)
    assert again and again.epoch > run.epoch
    before = rows()
    [refused] = journal.commit(app, [change])
    assert refused is not None and rows() == before
    assert settle(app, again, journal.complete(again, "done")) is None


# --- Beginning --------------------------------------------------------------------------------------------------------
def begin(app: App, lease: Lease, worker: Worker) -> list[Started]:
    return [started for _, started in lifecycle.begin(app, [lease], str(worker))]


def a_new_task(app: App, worker: Worker) -> None:
    submit(app)


def one_with_a_journal(app: App, worker: Worker) -> None:
    submit(app)
    run = start(app, worker)
    assert run
    journal.commit(app, [Change(run, [POINT], settlement=journal.hand_back(run))])


def one_whose_worker_died(app: App, worker: Worker) -> None:
    submit(app, max_retries=1)
    run = start(app, worker)
    assert run
    leases.give_back([run.lease])


def one_that_was_asked_to_stop(app: App, worker: Worker) -> None:
    one_whose_worker_died(app, worker)
    Task.objects.update(cancel_requested_at=timezone.now())


def one_whose_deadline_is_over(app: App, worker: Worker) -> None:
    submit(app, deadline=timezone.now() - timedelta(seconds=1))


def one_that_has_killed_its_last_worker(app: App, worker: Worker) -> None:
    submit(app, max_retries=0)
    run = start(app, worker)
    assert run
    leases.give_back([run.lease])


def one_that_is_over(app: App, worker: Worker) -> None:
    submit(app)
    Task.objects.update(status="cancelled", finished_at=timezone.now())


@pytest.mark.parametrize(
    ("situation", "begins"),
    [
        (a_new_task, True),
        (one_with_a_journal, True),
        (one_whose_worker_died, True),
        (one_that_was_asked_to_stop, False),
        (one_whose_deadline_is_over, False),
        (one_that_has_killed_its_last_worker, False),
        (one_that_is_over, False),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_an_attempt_begins_once(
    app: App, worker: Worker, situation: Callable[[App, Worker], None], begins: bool
) -> None:
    situation(app, worker)
    [lease] = leases.claim(worker.pk, 1)
    first = begin(app, lease, worker)
    before = rows()
    second = begin(app, lease, worker)
    assert rows() == before
    assert len(first) == len(second) == begins
    for one, other in zip(first, second, strict=True):
        assert (one.task, one.task.attempt, one.checkpoints) == (other.task, other.task.attempt, other.checkpoints)
    assert complaints(app) == []


def test_of_tasks_that_are_begun_together_again_those_that_are_new_begin(app: App, worker: Worker) -> None:
    for _ in range(3):
        submit(app)
    claimed = leases.claim(worker.pk, 3)
    lifecycle.begin(app, claimed[:2], str(worker))
    assert len(lifecycle.begin(app, claimed, str(worker))) == 3
    assert set(Task.objects.values_list("attempt", "status")) == {(1, "running")}
    assert complaints(app) == []


# --- All of it --------------------------------------------------------------------------------------------------------
class Losses:
    """Breaks the connection of a shift after some of its commits, before they are answered."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._dice = Random(1)
        commit, execute = BaseDatabaseWrapper._commit, CursorWrapper.execute

        def commit_without_answer(connection: BaseDatabaseWrapper) -> Any:
            return self._after(commit(connection))  # type: ignore[func-returns-value]

        def execute_without_answer(cursor: CursorWrapper, statement: str, params: Any = None) -> Any:
            answer = execute(cursor, statement, params)
            commits = not cursor.db.in_atomic_block and statement.lstrip().startswith(
                ("INSERT", "UPDATE", "DELETE", "WITH")
            )
            return self._after(answer) if commits else answer

        monkeypatch.setattr(BaseDatabaseWrapper, "_commit", commit_without_answer)
        monkeypatch.setattr(CursorWrapper, "execute", execute_without_answer)

    def _after(self, answer: Any) -> Any:
        if threading.current_thread().name == "database" and self._dice.random() < 0.3:
            self.count += 1
            raise OperationalError("the connection broke")
        return answer


@pytest.mark.django_db(transaction=True)
def test_work_is_done_once_though_every_third_answer_of_the_database_is_lost(
    app: App, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HECTOR_QUEUE_STALE_THRESHOLD = 2.0  # so that leases which nobody knows of are given back soon
    functions.calls.clear()
    tools = {"look_up": function_tool("look_up", idempotent=True), "flaky_charge": function_tool("flaky_charge")}
    script = [call("look_up", order="A1"), call("flaky_charge", amount=3), {"text": "Paid."}]
    apply(app, one_llm_agent(*script, tools=tools), by="tests")
    task = submit(app)
    losses = Losses(monkeypatch)
    with working():
        ended(task)
    assert losses.count >= 5
    assert (task.status, task.output) == (TaskStatus.COMPLETED, {"text": "Paid."})
    assert functions.calls == {"look_up": 1, "flaky_charge": 2}
    assert list(task.attempts.values_list("outcome", flat=True)) == ["failed", "completed"]
    assert task.usage["requests"] == 3
    assert complaints(app) == []
