"""A viewer sees no payloads, unless allowed: not at any address, in no list and no stream."""

from __future__ import annotations

import json

import pytest

from apps.accounts.permissions import OPERATIONS
from apps.tasks.models import Task
from apps.tenancy import tokens
from apps.tenancy.context import in_app
from apps.tenancy.models import Credential
from tests.api.conftest import Person
from tests.api.test_permissions import routes
from tests.support.planted import MARK, plant


@pytest.fixture
def planted(world: None) -> list[Task]:
    with in_app("acme") as app:
        return plant(app)


def everything(person: Person, tasks: list[Task]) -> dict[str, str]:
    """What every address of the App's answers: path -> text."""
    paths = set()
    for path, entry in routes():
        if "GET" not in OPERATIONS.get(entry.name or "", {}) or path.startswith(("admin", "docs", "openapi")):
            continue
        for task in tasks:
            for number in range(1, 5):
                paths.add("/" + path.replace("<uuid:id>", str(task.pk)).replace("<int:seq>", str(number)))
    paths |= {"/tasks?limit=1", "/agents/agent", "/dead-letters?status=open", "/approvals?status=open"}
    return {path: person.get(path).content.decode() for path in paths if "<" not in path}


def test_no_address_shows_a_payload_to_who_may_see_none(
    planted: list[Task], onlooker: Person, viewer: Person, operator: Person
) -> None:
    hidden = everything(onlooker, planted)
    assert [path for path, text in hidden.items() if MARK in text] == []
    for person in (viewer, operator):
        shown = {path for path, text in everything(person, planted).items() if MARK in text}
        assert len(shown) > 12, "the same addresses show it to others"
        kinds = ("/tasks", "/dead-letters", "/dead-letters/groups", "/approvals")
        assert {*kinds, f"/tasks/{planted[1].pk}/attempts", f"/tasks/{planted[1].pk}/checkpoints/1"} <= shown


def test_what_is_left_says_what_happened(planted: list[Task], onlooker: Person) -> None:
    task = onlooker.get(f"/tasks/{planted[1].pk}").json()
    assert (task["input"], task["output"]) == ({"hidden": True}, None)
    assert task["error"] == {"code": "rejected", "message": "(hidden)", "retryable": False}
    events = onlooker.get(f"/tasks/{planted[1].pk}/events").json()["results"]
    assert {"tool": "charge", "call": "tool:1:x"} in [event["payload"] for event in events]


def test_a_stream_shows_no_payload_either(planted: list[Task], onlooker: Person, viewer: Person) -> None:
    path = f"/tasks/{planted[1].pk}/events"
    streams = [
        b"".join(person.get(path, Accept="text/event-stream").streaming_content).decode()
        for person in (onlooker, viewer)
    ]
    assert MARK not in streams[0] and "execution_failed" in streams[0]
    assert MARK in streams[1]


def test_nobody_guesses_a_payload_by_searching(planted: list[Task], onlooker: Person, viewer: Person) -> None:
    assert len(viewer.get(f"/tasks?q={MARK}").json()["results"]) == 3
    assert onlooker.get(f"/tasks?q={MARK}").json()["results"] == []
    assert len(onlooker.get(f"/tasks?q={planted[0].pk}").json()["results"]) == 1


def test_a_stream_ends_when_its_token_is_revoked(operator: Person, viewer: Person) -> None:
    task = operator.submits()
    stream = viewer.get(f"/tasks/{task['id']}/events", Accept="text/event-stream").streaming_content
    assert [next(stream), next(stream)][0].startswith(b"id: 0\nretry:")
    key = Credential.objects.get(role="viewer").key
    tokens.revoke_app_token("acme", key, by="tests")
    assert list(stream) == []


def test_a_viewer_is_allowed_by_the_token(platform: Person) -> None:
    for allowed in (True, False):
        body = {"role": "viewer", "sees_payloads": allowed}
        token = platform.post("/admin/apps/acme/token", body).json()["access_token"]
        task = platform.submits(input=MARK)
        assert (MARK in json.dumps(Person(token).get(f"/tasks/{task['id']}").json())) is allowed
