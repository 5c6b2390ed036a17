"""Limits of Apps and tokens through the API: how they are set, what is answered, what does not count."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.quotas.models import Use
from apps.tasks.models import Task
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from apps.tenancy.tokens import issue_app_token
from tests.api.conftest import Person, pointers
from tests.quotas import clock

NOW = 1_699_920_030  # half a minute into a window


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock.stop(monkeypatch, NOW)


def limits(platform: Person, **asked: Any) -> None:
    answer = platform.patch("/admin/apps/acme", {"limits": asked})
    assert answer.status_code == 200, answer.content


def per_minute(limit: int, **more: Any) -> list[dict[str, Any]]:
    return [{"limit": limit, "window": "1m", **more}]


def test_requests_over_the_limit_are_answered_with_when_the_next_window_begins(
    platform: Person, operator: Person, outsider: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits(platform, requests=[*per_minute(2), {"limit": 1000, "window": "1h"}])
    answer = operator.get("/agents")
    assert answer["RateLimit-Policy"] == '"app-requests-1m";q=2;w=60, "app-requests-1h";q=1000;w=3600'
    assert answer["RateLimit"] == '"app-requests-1m";r=1;t=30, "app-requests-1h";r=999;t=3570'
    assert operator.get("/tasks").status_code == 200
    refused = operator.get("/agents")
    assert (refused.status_code, refused["Retry-After"]) == (429, "30")
    assert refused.json()["type"] == "urn:hector:problem:over_limit"
    assert refused["RateLimit"] == '"app-requests-1m";r=0;t=30'
    assert "RateLimit" not in outsider.get("/agents"), "another App is another App"
    clock.stop(monkeypatch, NOW + 30)
    assert operator.get("/agents").status_code == 200


def test_health_tokens_and_the_operator_are_not_counted(platform: Person, operator: Person, stranger: Person) -> None:
    limits(platform, requests=per_minute(1))
    assert operator.get("/agents").status_code == 200
    for person, path in ((stranger, "/health"), (platform, "/tasks"), (platform, "/metrics"), (operator, "/health")):
        assert person.get(path).status_code != 429, path
    assert stranger.post("/auth/token", {"username": "x", "password": "y"}).status_code == 401
    assert operator.get("/agents").status_code == 429


def test_a_token_has_limits_of_its_own_within_those_of_the_app(platform: Person, operator: Person) -> None:
    made = platform.post("/admin/apps/acme/token", {"role": "operator", "limits": {"tasks": per_minute(1)}})
    narrow = Person(made.json()["access_token"])
    limits(platform, tasks=per_minute(3))
    narrow.submits()
    refused = narrow.post("/tasks", {"agent": "echo", "input": "hello"})
    assert (refused.status_code, refused["RateLimit"]) == (429, '"token-tasks-1m";r=0;t=30')
    operator.submits()
    operator.submits()
    assert operator.post("/tasks", {"agent": "echo", "input": "hello"})["RateLimit"] == '"app-tasks-1m";r=0;t=30'
    [listed] = [one for one in platform.get("/admin/apps/acme/tokens").json()["results"] if one["limits"]]
    assert listed["limits"] == {"tasks": per_minute(1)}
    shown = {(one["of"], one["resource"]): one for one in narrow.get("/limits").json()["limits"]}
    assert shown.keys() == {("app", "tasks"), ("token", "tasks")}
    assert shown["app", "tasks"] == {
        "of": "app", "resource": "tasks", "window": "1m", "limit": 3, "raised": 0, "used": 3, "remaining": 0,
        "resets_at": "2023-11-14T00:01:00+00:00", "on_breach": None,
    }  # fmt: skip


def test_what_makes_no_task_counts_as_none(platform: Person, operator: Person) -> None:
    limits(platform, tasks=per_minute(2))
    body = {"agent": "echo", "input": "hello"}
    first = operator.post("/tasks", body, Idempotency_Key="one")
    assert [operator.post("/tasks", body, Idempotency_Key="one").status_code for _ in range(4)] == [202] * 4
    assert operator.post("/tasks", {"agent": "nobody", "input": ""}).status_code == 400
    task = operator.post("/tasks", {**body, "unique_key": "k"}).json()["id"]
    assert operator.post(f"/tasks/{task}/cancel").status_code == 202
    assert operator.post(f"/tasks/{task}/retry", {}).status_code == 202, "a retry is the same task again"
    assert operator.post(f"/tasks/{first.json()['id']}/fork", {}).status_code == 429, "and a fork is a new one"
    with in_app("acme"):
        assert Use.objects.get(kind="app").used == Task.objects.count() == 2


def test_a_task_that_is_refused_otherwise_is_not_counted(platform: Person, operator: Person) -> None:
    limits(platform, tasks=per_minute(2))
    keyed = {"agent": "echo", "input": "hello", "unique_key": "k"}
    assert [operator.post("/tasks", keyed).status_code for _ in range(3)] == [202, 409, 409]
    assert operator.submits()


def test_without_limits_nothing_is_asked_and_nothing_written(operator: Person) -> None:
    operator.submits()
    with CaptureQueriesContext(
        connection,
    ) as seen:
        operator.submits()
    assert not [query["sql"] for query in seen if "quotas" in query["sql"] or "credential" in query["sql"]]
    with in_app("acme"):
        assert not Use.objects.exists()


def test_an_operator_changes_limits_one_resource_at_a_time(platform: Person) -> None:
    limits(platform, requests=per_minute(5), cost_usd=[{"limit": 2.5, "window": 86400, "on_breach": "ask"}])
    limits(platform, tasks=per_minute(7), requests=None)
    shown = platform.get("/admin/apps/acme").json()["limits"]
    assert shown == {"cost_usd": [{"limit": 2.5, "window": "1d", "on_breach": "ask"}], "tasks": per_minute(7)}
    assert lifecycle.get("acme").limits["tasks"] == [{"limit": 7, "window": 60}]
    limits(platform, tasks=[], cost_usd=[])
    assert platform.get("/admin/apps/acme").json()["limits"] == {}


def test_an_app_is_made_with_its_limits(platform: Person) -> None:
    made = platform.post("/admin/apps", {"name": "fresh", "limits": {"tasks": per_minute(1)}})
    assert made.json()["app"]["limits"] == {"tasks": per_minute(1)}
    platform.delete("/admin/apps/fresh")


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"tasks": per_minute(0)}, "/limits/tasks/0/limit"),
        ({"tasks": [{"limit": 1, "window": "500ms"}]}, "/limits/tasks/0/window"),
        ({"tasks": [*per_minute(1), {"limit": 2, "window": 60}]}, "/limits/tasks"),
        ({"tasks": per_minute(1, on_breach="ask")}, "/limits/tasks/0/on_breach"),
        ({"tokens": per_minute(1, on_breach="shout")}, "/limits/tokens/0/on_breach"),
        ({"tokens": [{"limit": 1.5, "window": "1m"}]}, "/limits/tokens/0/limit"),
        ({"cost_usd": [{"limit": 0, "window": "1m"}]}, "/limits/cost_usd/0/limit"),
        ({"wishes": per_minute(3)}, "/limits/wishes"),
    ],
)
def test_what_is_no_limit_is_refused_at_its_place(platform: Person, asked: Any, pointer: str) -> None:
    answer = platform.patch("/admin/apps/acme", {"limits": asked})
    assert (answer.status_code, pointers(answer)) == (400, [pointer])
    assert platform.post("/admin/apps/acme/token", {"limits": asked}).status_code == 400


def test_a_token_without_limits_is_told_of_those_of_the_app_only(platform: Person, viewer: Person) -> None:
    assert viewer.get("/limits").json() == {"limits": []}
    limits(platform, tokens=per_minute(100, on_breach="wait"))
    assert [one["of"] for one in Person(issue_app_token("acme")).get("/limits").json()["limits"]] == ["app"]
