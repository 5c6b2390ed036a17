"""Entry points over the API."""

from __future__ import annotations

from typing import Any

import pytest

from apps.agents.config.apply import apply
from apps.tenancy import lifecycle as tenancy
from tests.api.conftest import DOCUMENT, Person, pointers
from tests.triggers.entry_points import entry


@pytest.fixture(autouse=True)
def _entry_points(world: None) -> None:
    """`acme` has `report`, with a template, `plain`, and `timer`."""
    entries: dict[str, Any] = {
        "report": entry(description="Weekly", input={"text": "{% if input.on %}On {{ input.on }}{% endif %}"}),
        "plain": entry("clerk", type="manual"),
        "timer": entry(type="timer", interval="1h"),
    }
    apply(tenancy.get("acme"), DOCUMENT | {"entry_points": entries}, by="tests")


def test_the_entry_points_and_how_they_are_doing(viewer: Person) -> None:
    plain, report, _ = viewer.get("/entry-points").json()["results"]
    assert plain["id"] == "plain"
    assert report == {
        "id": "report", "agent": "echo", "type": "api", "description": "Weekly", "state": "active", "paused_at": None,
        "paused_by": "", "pause_reason": "", "running": 0, "idle_seconds": None,
        "next_runs": [],
    }  # fmt: skip
    assert viewer.get("/entry-points/report").json() == report
    assert viewer.get("/entry-points/nothing").status_code == 404


def test_a_call_starts_a_task(operator: Person, viewer: Person) -> None:
    answer = operator.post("/entry-points/report/trigger", {"input": {"on": "Monday"}})
    assert answer.status_code == 202
    task = answer.json()
    assert (task["input"], task["entry_point"]) == ({"text": "On Monday"}, "report")
    assert answer["Location"] == f"/tasks/{task['id']}"
    [found] = viewer.get("/entry-points/report/firings").json()["results"]
    assert (found["task"], found["outcome"], found["cause"]) == (task["id"], "started", "api")
    [listed] = viewer.get("/tasks?entry_point=report").json()["results"]
    assert listed["id"] == task["id"]


def test_a_call_that_is_sent_again_starts_nothing_new(operator: Person) -> None:
    sent = [operator.post("/entry-points/plain/trigger", {"input": "hi"}, Idempotency_Key="k") for _ in range(2)]
    assert sent[0].json()["id"] == sent[1].json()["id"] and sent[1]["Idempotency-Replayed"] == "true"
    other = operator.post("/entry-points/plain/trigger", {"input": "ho"}, Idempotency_Key="k")
    assert other.status_code == 422
    assert len(operator.get("/entry-points/plain/firings").json()["results"]) == 1


def test_a_call_that_starts_nothing_says_why_and_is_written_down(operator: Person) -> None:
    answer = operator.post("/entry-points/report/trigger", {"input": {"on": ""}}, Idempotency_Key="k")
    assert answer.status_code == 409 and "made nothing of it" in answer.json()["detail"]
    [found] = operator.get("/entry-points/report/firings").json()["results"]
    assert (found["task"], found["outcome"]) == (None, "filtered")


def test_an_input_that_cannot_be_is_refused(operator: Person) -> None:
    answer = operator.post("/entry-points/plain/trigger", {"input": {"text": "x" * 101}})
    assert (answer.status_code, pointers(answer)) == (400, ["/input"])
    assert operator.post("/entry-points/report/trigger", {"input": {}}).status_code == 400
    assert operator.get("/entry-points/plain/firings").json()["results"] == []


def test_what_is_paused_refuses_calls_until_it_is_resumed(operator: Person) -> None:
    paused = operator.post("/entry-points/plain/pause", {"reason": "month's end"}).json()
    assert (paused["state"], paused["pause_reason"]) == ("paused", "month's end")
    answer = operator.post("/entry-points/plain/trigger", {"input": "hi"})
    assert answer.status_code == 409 and "month's end" in answer.json()["detail"]
    assert operator.post("/entry-points/plain/resume").json()["state"] == "active"
    assert operator.post("/entry-points/plain/resume").status_code == 409
    assert operator.post("/entry-points/plain/trigger", {"input": "hi"}).status_code == 202


def test_a_timer_says_when_it_fires_next_unless_all_are_paused(operator: Person, viewer: Person) -> None:
    assert len(viewer.get("/entry-points/timer").json()["next_runs"]) == 3
    assert operator.post("/timers/pause", {"reason": "enough"}).json() == {"paused": True, "timers": 1}
    paused = viewer.get("/entry-points/timer").json()
    assert (paused["state"], paused["pause_reason"], paused["next_runs"]) == ("paused", "enough", [])
    assert viewer.get("/entry-points/plain").json()["state"] == "active"
    assert operator.post("/timers/resume").json() == {"paused": False, "timers": 1}
    assert operator.post("/timers/resume").status_code == 409


def test_what_a_timer_has_missed_is_counted_first(operator: Person) -> None:
    since, until = "2026-01-05T00:30:00Z", "2026-01-05T03:30:00Z"
    counted = operator.get(f"/entry-points/timer/backfill?since={since}&until={until}").json()
    assert counted["count"] == 3
    body = {"since": since, "until": until}
    assert operator.post("/entry-points/timer/backfill", {**body, "count": 2}).status_code == 409
    answer = operator.post("/entry-points/timer/backfill", {**body, "count": 3})
    assert (answer.status_code, answer.json()) == (202, counted)
    assert operator.post("/entry-points/plain/backfill", {**body, "count": 3}).status_code == 409
    assert operator.post("/entry-points/timer/backfill", {**body, "until": "soon", "count": 0}).status_code == 400
