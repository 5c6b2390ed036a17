"""POST /tasks: what is accepted, what is refused, and waiting for the result."""

from __future__ import annotations

from typing import Any

import pytest

from apps.tasks.models import Task
from apps.tenancy.context import in_app
from tests.api.conftest import Person, pointers
from tests.support.work import working


def test_a_task_is_accepted_and_can_be_read_where_the_answer_says(operator: Person) -> None:
    answer = operator.post("/tasks", {"agent": "echo", "input": "hello"})
    assert answer.status_code == 202
    task = answer.json()
    assert answer["Location"] == f"/tasks/{task['id']}"
    assert operator.get(answer["Location"]).json() == task


def test_a_task_looks_as_documented(operator: Person) -> None:
    task = operator.submits(
        session="s-1", priority=5, tags=["a"], metadata={"k": 1}, max_retries=7, deadline="2031-01-01T00:00:00+01:00"
    )
    version, created = task.pop("agent_version"), task.pop("created_at")
    assert version.startswith("sha256:") and created.endswith("Z")
    assert task == {
        "id": task["id"],
        "agent": "echo",
        "session": "s-1",
        "isolation": "shared",
        "entry_point": None,
        "status": "pending",
        "input": {"text": "hello"},
        "output": None,
        "error": None,
        "priority": 5,
        "tags": ["a"],
        "metadata": {"k": 1},
        "attempt": 0,
        "max_retries": 7,
        "next_attempt_at": None,
        "deadline": "2030-12-31T23:00:00Z",
        "usage": {"requests": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": "0"},
        "approvals": [],
        "started_at": None,
        "finished_at": None,
        "checkpoint_bytes": 0,
        "caused_by": None,
        "forked_from": None,
        "forked_at_checkpoint": None,
    }


def test_an_object_is_the_input_as_it_is(operator: Person) -> None:
    value = {"order": {"lines": [1, 2.5, None, True, "ü€😀"]}}
    assert operator.submits(input=value)["input"] == value


def test_a_task_can_be_put_off(operator: Person) -> None:
    assert operator.submits(run_at="2031-01-01T09:00:00Z")["next_attempt_at"] == "2031-01-01T09:00:00Z"


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"agent": "nobody"}, ["/agent"]),
        ({"agent": 7}, ["/agent"]),
        ({"agent": ""}, ["/agent"]),
        ({"agent": "a\u0000b"}, []),
        ({"input": ["a", "list"]}, ["/input"]),
        ({"input": None}, ["/input"]),
        ({"agent": "clerk", "input": "x" * 101}, ["/input"]),
        ({"priority": "5"}, ["/priority"]),
        ({"priority": 1.0}, ["/priority"]),
        ({"priority": True}, ["/priority"]),
        ({"priority": 2**40}, ["/priority"]),
        ({"max_retries": -1}, ["/max_retries"]),
        ({"timeout_seconds": 0}, ["/timeout_seconds"]),
        ({"timeout_seconds": "5"}, ["/timeout_seconds"]),
        ({"run_at": "tomorrow"}, ["/run_at"]),
        ({"run_at": 1900000000}, ["/run_at"]),
        ({"deadline": "0001-01-01T00:00:00+23:59"}, ["/deadline"]),
        ({"deadline": "9999-12-31T23:59:59-23:59"}, ["/deadline"]),
        ({"session": "s" * 201}, ["/session"]),
        ({"tags": "urgent"}, ["/tags"]),
        ({"tags": ["ok", 5]}, ["/tags/1"]),
        ({"tags": ["t"] * 51}, ["/tags"]),
        ({"metadata": []}, ["/metadata"]),
        ({"tenant_id": "globex", "a/b": 1, "priority": "5"}, ["/tenant_id", "/a~1b", "/priority"]),
    ],
)
def test_what_does_not_fit_is_refused_by_name(operator: Person, fields: dict[str, Any], faulty: list[str]) -> None:
    answer = operator.post("/tasks", {"agent": "echo", "input": "hello", **fields})
    assert (answer.status_code, pointers(answer)) == (400, faulty)
    with in_app("acme"):
        assert not Task.objects.exists()


def test_a_body_cannot_choose_the_app(operator: Person) -> None:
    operator.post("/tasks", {"agent": "echo", "input": "hello"}, X_Hector_App="globex")
    with in_app("globex"):
        assert not Task.objects.exists()
    with in_app("acme"):
        assert Task.objects.count() == 1


def test_prefer_wait_holds_the_answer_until_the_result_is_there(operator: Person) -> None:
    with working():
        answer = operator.post("/tasks", {"agent": "echo", "input": "hello"}, Prefer="respond-async, wait=20")
    assert (answer.status_code, answer["Preference-Applied"]) == (200, "wait=20")
    assert answer.json()["status"] == "completed"
    assert answer.json()["output"] == {"echo": {"text": "hello"}}


def test_prefer_wait_gives_up_when_its_time_is_over(operator: Person) -> None:
    answer = operator.post("/tasks", {"agent": "echo", "input": "hello"}, Prefer="wait=0")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")


@pytest.mark.parametrize("prefer", ["wait=abc", "wait=-5", "await=9", "wait", "return=minimal", ";;=,"])
def test_a_preference_that_is_not_understood_is_passed_over(operator: Person, prefer: str) -> None:
    answer = operator.post("/tasks", {"agent": "echo", "input": "hello"}, Prefer=prefer)
    assert answer.status_code == 202 and "Preference-Applied" not in answer.headers


def test_who_waits_does_not_take_the_last_threads(operator: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.tasks.api import views
    from apps.tasks.api.waiting import Share

    share = Share(1)
    monkeypatch.setattr(views, "long_answers", lambda: share)
    with share.taken():
        answer = operator.post("/tasks", {"agent": "echo", "input": "hello"}, Prefer="wait=30")
    assert answer.status_code == 202 and "Preference-Applied" not in answer.headers
