"""Cancel, retry, attempts, checkpoints and events of a task."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.utils import timezone

from apps.queue import entries
from apps.tasks.models import Attempt, Task
from apps.tenancy.context import in_app
from tests.api.conftest import Person, pointers
from tests.support import functions
from tests.support.work import wait_for, working


def finished(person: Person, **fields: Any) -> dict[str, Any]:
    """A task that has run."""
    with working():
        answer = person.post("/tasks", {"agent": "echo", "input": "hello", **fields}, Prefer="wait=20")
    assert answer.status_code == 200, answer.content
    task: dict[str, Any] = answer.json()
    return task


def failed(task: dict[str, Any]) -> None:
    """Makes a task one that has failed, with an attempt to show for it."""
    error = {"code": "boom", "message": "It broke.", "retryable": False}
    with in_app("acme") as app:
        entries.remove(app, UUID(task["id"]))
        Task.objects.filter(pk=task["id"]).update(status="failed", error=error, finished_at=timezone.now(), attempt=1)
        Attempt.objects.create(
            task_id=task["id"],
            number=1,
            outcome="failed",
            error=error,
            traceback="File secret.py",
            epoch=1,
            worker="w:1",
        )


def test_a_waiting_task_is_cancelled_at_once(operator: Person) -> None:
    task = operator.submits()
    answer = operator.post(f"/tasks/{task['id']}/cancel", {"reason": "a mistake"})
    assert (answer.status_code, answer.json()["status"]) == (202, "cancelled")
    last = operator.get(f"/tasks/{task['id']}/events").json()["results"][-1]
    assert (last["type"], last["payload"]["reason"]) == ("execution_cancelled", "a mistake")
    assert last["actor"].startswith("app:acme/")


def test_cancel_needs_no_body(operator: Person) -> None:
    assert operator.post(f"/tasks/{operator.submits()['id']}/cancel").status_code == 202


def test_a_running_task_is_asked_to_stop_and_then_says_cancelled(operator: Person) -> None:
    functions.calls.clear()
    task = operator.submits("sleeper")
    with working():
        wait_for(lambda: functions.calls["sleep_long"], what="the task runs")
        answer = operator.post(f"/tasks/{task['id']}/cancel")
        assert (answer.status_code, answer.json()["status"]) == (202, "running")
        wait_for(lambda: operator.get(f"/tasks/{task['id']}").json()["status"] == "cancelled", what="cancelled")


def test_what_has_ended_cannot_be_cancelled(operator: Person) -> None:
    task = finished(operator)
    answer = operator.post(f"/tasks/{task['id']}/cancel")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:hector:problem:illegal_transition")
    assert operator.get(f"/tasks/{task['id']}").json()["status"] == "completed"


def test_a_failed_task_runs_again(operator: Person) -> None:
    task = operator.submits()
    failed(task)
    answer = operator.post(f"/tasks/{task['id']}/retry")
    assert (answer.status_code, answer.json()["status"], answer.json()["error"]) == (202, "pending", None)


def test_a_task_runs_again_with_another_input(operator: Person) -> None:
    task = operator.submits()
    operator.post(f"/tasks/{task['id']}/cancel")
    assert operator.post(f"/tasks/{task['id']}/retry", {"input": "other"}).json()["input"] == {"text": "other"}
    operator.post(f"/tasks/{task['id']}/cancel")
    assert operator.post(f"/tasks/{task['id']}/retry", {"input": {"a": 1}}).json()["input"] == {"a": 1}


def test_another_input_must_fit_the_agent(operator: Person) -> None:
    task = operator.submits("clerk", "short")
    operator.post(f"/tasks/{task['id']}/cancel")
    answer = operator.post(f"/tasks/{task['id']}/retry", {"input": "x" * 200})
    assert (answer.status_code, pointers(answer)) == (400, ["/input"])
    assert operator.post(f"/tasks/{task['id']}/retry", {"input": ["a"]}).status_code == 400


def test_only_what_has_failed_or_was_cancelled_runs_again(operator: Person) -> None:
    assert operator.post(f"/tasks/{operator.submits()['id']}/retry").status_code == 409
    assert operator.post(f"/tasks/{finished(operator)['id']}/retry").status_code == 409


def test_tracebacks_are_for_the_operator_of_the_installation_only(platform: Person, admin: Person) -> None:
    task = platform.submits()
    failed(task)
    (seen,) = platform.get(f"/tasks/{task['id']}/attempts").json()["results"]
    assert (seen["number"], seen["outcome"], seen["traceback"]) == (1, "failed", "File secret.py")
    answer = admin.get(f"/tasks/{task['id']}/attempts")
    assert answer.json()["results"] == [{key: value for key, value in seen.items() if key != "traceback"}]
    assert b"secret.py" not in answer.content


def test_the_journal_shows_what_a_run_has_done(operator: Person) -> None:
    with working():
        task = operator.post("/tasks", {"agent": "clerk", "input": "hello"}, Prefer="wait=20").json()
    assert (task["status"], task["output"], task["attempt"]) == ("completed", {"text": "Done."}, 1)
    assert task["usage"]["requests"] == 1 and isinstance(task["usage"]["cost_usd"], str)
    (turn,) = operator.get(f"/tasks/{task['id']}/checkpoints").json()["results"]
    assert (turn["seq"], turn["kind"]) == (1, "model") and "Done." in str(turn["value"])


def test_events_come_in_order_and_without_gaps(operator: Person) -> None:
    task = finished(operator)
    whole = operator.get(f"/tasks/{task['id']}/events").json()
    assert [event["seq"] for event in whole["results"]] == list(range(1, len(whole["results"]) + 1))
    assert [event["type"] for event in whole["results"]][-1] == "execution_completed"
    assert set(whole["results"][0]) == {"seq", "type", "payload", "actor", "at"}
    first = operator.get(f"/tasks/{task['id']}/events?limit=2").json()
    assert first["results"] == whole["results"][:2] and first["next"] is not None
