"""The waterfall of a task: how long it waited, for whom, and how long each attempt and its parts took."""

from __future__ import annotations

from apps.approvals import lifecycle as approvals
from apps.console import timeline
from apps.queue.models import Worker
from apps.tasks import journal, lifecycle
from apps.tasks.errors import TaskError
from apps.tasks.events import EventType, NewEvent
from apps.tasks.journal import Change
from apps.tasks.models import Task
from apps.tenancy.models import App
from tests.support import agents
from tests.support.doubt import waiting
from tests.support.people import OTTO
from tests.support.transitions import fresh, settle, start


def stretches(task: Task) -> dict[str, bool]:
    """The rows that have a length, and whether they are still under way."""
    return {row.title: row.open for row in timeline.of(fresh(task)).rows if row.open or row.seconds is not None}


def test_waits_attempts_and_their_parts_have_a_length(configured: App, worker: Worker) -> None:
    task = agents.submit(configured, "echo")
    assert stretches(task) == {"Accepted": True}
    run = start(configured, worker)
    assert run
    asked = NewEvent(EventType.LLM_STARTED, {"request": 0, "model": "gpt-5"})
    journal.commit(configured, [Change(run, events=[asked])])
    assert stretches(task) == {"Accepted": False, "Attempt 1 of 3": True, "Model gpt-5": True}
    assert [row.title for row in timeline.of(fresh(task)).rows if row.inner] == ["Model gpt-5"]
    settle(configured, run, journal.retry_later(run, TaskError("busy", "too many requests", retryable=True), 9.0))
    assert stretches(task) == {
        "Accepted": False, "Attempt 1 of 3": False, "Model gpt-5": False, "Attempt 1 failed": True,
    }  # fmt: skip


def test_an_end_ends_everything(configured: App, worker: Worker) -> None:
    task = agents.submit(configured, "echo")
    run = start(configured, worker)
    assert run
    settle(configured, run, journal.complete(run, {"answer": 42}))
    assert stretches(task) == {"Accepted": False, "Attempt 1 of 3": False}
    rows = timeline.of(fresh(task)).rows
    assert all(0 <= row.left <= 100 and row.left + row.width <= 100.01 for row in rows)


def test_the_wait_for_a_person_is_a_stretch_of_its_own(configured: App) -> None:
    task = waiting(configured, agent="echo")
    assert stretches(task)["Waits for a person"] is True
    approvals.decide(configured, task.approvals.get(), "run_again", by=OTTO)
    assert stretches(task)["Waits for a person"] is False
    assert stretches(task)["Goes on"] is True
    lifecycle.cancel(configured, fresh(task), by="olga")
    assert not any(stretches(task).values())
