"""`unique_key` on POST /tasks."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import Person, pointers


def test_a_key_that_is_taken_is_409_with_the_task_that_has_it(operator: Person) -> None:
    first = operator.submits(unique_key="daily")
    answer = operator.post("/tasks", {"agent": "echo", "input": "again", "unique_key": "daily"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:hector:problem:not_unique")
    assert first["id"] in answer.json()["detail"]
    assert answer["Location"] == f"/tasks/{first['id']}"
    assert pointers(answer) == ["/unique_key"]
    operator.post(f"/tasks/{first['id']}/cancel")
    assert operator.submits(unique_key="daily")["id"] != first["id"]


def test_each_app_has_its_own_keys(operator: Person, outsider: Person) -> None:
    operator.submits(unique_key="daily")
    outsider.submits(unique_key="daily")


def test_a_period_is_seconds_or_text(operator: Person) -> None:
    operator.submits(unique_key="a", unique_period=60)
    task = operator.submits(unique_key="b", unique_scope="period", unique_period="5m")
    operator.post(f"/tasks/{task['id']}/cancel")
    again = {"agent": "echo", "input": "x", "unique_key": "b", "unique_period": "5m"}
    assert operator.post("/tasks", again).status_code == 409


def test_a_request_that_is_repeated_under_its_idempotency_key_is_replayed_not_refused(operator: Person) -> None:
    body = {"agent": "echo", "input": "x", "unique_key": "k"}
    first = operator.post("/tasks", body, Idempotency_Key="1")
    again = operator.post("/tasks", body, Idempotency_Key="1")
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert operator.post("/tasks", body, Idempotency_Key="2").status_code == 409


def test_retrying_a_task_whose_key_is_taken_is_409(operator: Person) -> None:
    task = operator.submits(unique_key="k")
    operator.post(f"/tasks/{task['id']}/cancel")
    other = operator.submits(unique_key="k")
    answer = operator.post(f"/tasks/{task['id']}/retry")
    assert (answer.status_code, answer["Location"]) == (409, f"/tasks/{other['id']}")


@pytest.mark.parametrize(
    ("fields", "faulty"),
    [
        ({"unique_scope": "active"}, ["/unique_scope"]),
        ({"unique_period": 5}, ["/unique_period"]),
        ({"unique_key": "k", "unique_scope": "period"}, ["/unique_period"]),
        ({"unique_key": "k", "unique_scope": "active", "unique_period": 5}, ["/unique_period"]),
        ({"unique_key": "k", "unique_scope": "always"}, ["/unique_scope"]),
        ({"unique_key": "k", "unique_period": 0}, ["/unique_period"]),
        ({"unique_key": "k", "unique_period": True}, ["/unique_period"]),
        ({"unique_key": "k", "unique_period": "soon"}, ["/unique_period"]),
        ({"unique_key": "k", "unique_period": 1e300}, ["/unique_period"]),
        ({"unique_key": ""}, ["/unique_key"]),
        ({"unique_key": "k" * 256}, ["/unique_key"]),
    ],
)
def test_what_makes_no_sense_is_refused(operator: Person, fields: dict[str, Any], faulty: list[str]) -> None:
    answer = operator.post("/tasks", {"agent": "echo", "input": "x", **fields})
    assert (answer.status_code, pointers(answer)) == (400, faulty)
