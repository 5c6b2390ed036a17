"""What no program should send is a 4xx problem, and never a 5xx."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import OperationalError, connection

from tests.api.conftest import PROBLEM, Person, pointers

GOOD = b'{"agent": "echo", "input": '


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"",
        b"null",
        b"[]",
        b"7",
        b'"text"',
        b"{'agent': 'echo'}",
        b'{"agent": "echo",}',
        b"\xff\xfe",
        b'{"agent": "\xed\xa0\x80"}',
        GOOD + b'"\\u0000"}',
        GOOD + b'{"\\u0000": 1}}',
        GOOD + b'"\\ud800"}',
        GOOD + b'"\x00"}',
        GOOD + b"NaN}",
        GOOD + b'{"x": Infinity}}',
        GOOD + b'{"x": 1e999}}',
        GOOD + b'{"x": 9223372036854775808}}',
        GOOD + b'{"x": ' + b"9" * 5000 + b"}}",
        GOOD + b'{"x": ' + b"[" * 70 + b"]" * 70 + b"}}",
        GOOD + b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
        GOOD + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_a_body_that_is_not_what_json_should_be_is_400(operator: Person, raw: bytes) -> None:
    assert operator("POST", "/tasks", raw=raw, Content_Type="application/json").status_code == 400


def test_unicode_of_every_kind_comes_back_as_it_went(operator: Person) -> None:
    value = {"päth": "😀 \u2028 \u200b ￿ \x7f", "nested": [[[["deep"]]]]}
    raw = json.dumps({"agent": "echo", "input": value}).encode()
    assert operator("POST", "/tasks", raw=raw).json()["input"] == value


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "x", ""])
def test_another_kind_of_body_is_415(operator: Person, kind: str) -> None:
    answer = operator("POST", "/tasks", raw=b"agent=echo", Content_Type=kind)
    assert answer.status_code == 415


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*"])
def test_an_answer_of_another_kind_cannot_be_had(viewer: Person, accept: str) -> None:
    assert viewer.get("/tasks", Accept=accept).status_code == 406


def test_a_body_over_the_limit_is_413(operator: Person, settings: Any) -> None:
    settings.HECTOR_MAX_BODY = settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 2048
    assert operator.post("/tasks", {"agent": "echo", "input": "x" * 3000}).status_code == 413
    assert operator.post("/tasks", {"agent": "echo", "input": "x" * 1000}).status_code == 202


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/tasks/",
        "/tasks/not-an-id",
        "/tasks/0198c0de",
        "/tasks/%00",
        "/tasks/00000000-0000-7000-8000-000000000000/nothing",
        "/agents/no-such",
        "/agents/%00",
        "/agents/%ed%a0%80",
        "/admin/apps/",
        "/admin/apps/no-such",
        "/admin/apps/no-such/config",
        "/admin/apps/acme/nothing",
        "/admin/apps/acme/config/revisions/0/rollback/x",
        "/admin/queue/nothing",
        "/admin/workers/1",
    ],
)
def test_where_there_is_nothing_is_404(platform: Person, path: str) -> None:
    assert platform.get(path).status_code == 404


def test_unknown_fields_are_named_at_every_operation(platform: Person) -> None:
    task = platform.submits()["id"]
    for method, path in [
        ("POST", "/tasks"),
        ("POST", f"/tasks/{task}/cancel"),
        ("POST", f"/tasks/{task}/retry"),
        ("POST", "/admin/apps"),
        ("PATCH", "/admin/apps/acme"),
        ("POST", "/admin/apps/acme/token"),
        ("PUT", "/admin/apps/acme/secrets/KEY"),
        ("POST", "/admin/queue/pause"),
        ("POST", "/admin/queue/resume"),
    ]:
        answer = platform(method, path, {"surprise": 1})
        assert answer.status_code == 400 and "/surprise" in pointers(answer), (method, path)
    assert platform.get("/admin/queue").json()["paused"] is False


def test_no_database_is_503_with_a_time_to_come_back(operator: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("connection refused: password=hunter2")

    with monkeypatch.context() as without_database:
        without_database.setattr(connection, "cursor", fail)
        answer = operator.get("/tasks")
    assert (answer.status_code, answer["Content-Type"], answer["Retry-After"]) == (503, PROBLEM, "5")
    assert b"hunter2" not in answer.content


def test_a_fault_of_ours_shows_no_stack_trace(viewer: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise RuntimeError("a detail that is nobody's business")

    monkeypatch.setattr("apps.tasks.api.views.search", fail)
    answer = viewer.get("/tasks")
    assert (answer.status_code, answer["Content-Type"]) == (500, PROBLEM)
    assert b"business" not in answer.content and b"Traceback" not in answer.content
