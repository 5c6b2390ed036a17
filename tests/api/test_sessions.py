"""`/sessions`: listed, read and deleted by an App's people; payloads are hidden from those who may see none."""

from __future__ import annotations

from uuid import UUID

import pytest
from django.db import transaction

from apps.sessions import store
from apps.tasks import lifecycle as tasks
from apps.tasks.models import Task
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from tests.api.conftest import Person, pointers

MARK = "the-customer-is-Zaphod"


@pytest.fixture
def session(operator: Person) -> str:
    """One of three turns, the last of which is large."""
    with in_app("acme"):
        app = lifecycle.get("acme")
        made = store.session_of("clerk", "s-1")
        for number, text in enumerate((MARK, "Hello", "x" * 70_000), start=1):
            task = UUID(operator.submits(session="s-1", agent="clerk", input="Hello")["id"])
            with transaction.atomic():
                store.add_turn(made.pk, task, [{"kind": "request", "parts": [{"content": text}]}])
                store.put(made.pk, task, {"name": MARK, "number": number}, store.Seen())
            tasks.cancel(app, Task.objects.get(pk=task), by="tests")
    return str(made.pk)


def test_sessions_are_listed_and_read(session: str, viewer: Person) -> None:
    [shown] = viewer.get("/sessions?agent=clerk&session=s-1").json()["results"]
    assert (shown["id"], shown["agent"], shown["session"], shown["turns"], shown["revision"]) == (
        session, "clerk", "s-1", 3, 3,
    )  # fmt: skip
    assert viewer.get("/sessions?session=other").json()["results"] == []
    assert viewer.get(f"/sessions/{session}").json()["state"] == {"name": MARK, "number": 3}


def test_the_conversation_is_paged_and_a_large_turn_is_read_by_itself(session: str, viewer: Person) -> None:
    first = viewer.get(f"/sessions/{session}/turns?limit=2").json()
    assert [turn["seq"] for turn in first["results"]] == [1, 2]
    [large] = viewer.get(first["next"]).json()["results"]
    assert (large["seq"], large["messages"]) == (3, None) and large["size"] > 70_000
    assert viewer.get(f"/sessions/{session}/turns/3").json()["messages"][0]["parts"][0]["content"] == "x" * 70_000
    assert viewer.get(f"/sessions/{session}/turns/4").status_code == 404


def test_who_sees_no_payloads_sees_no_state_and_no_messages(session: str, onlooker: Person) -> None:
    for path in ("/sessions", f"/sessions/{session}", f"/sessions/{session}/turns", f"/sessions/{session}/turns/1"):
        answer = onlooker.get(path)
        assert answer.status_code == 200
        assert MARK not in answer.content.decode()
    assert onlooker.get(f"/sessions/{session}").json()["state"] == {"hidden": True}


def test_an_operator_deletes_a_session_that_nothing_runs_in(session: str, operator: Person, viewer: Person) -> None:
    busy = operator.submits(session="s-1", agent="clerk", input="Hello")["id"]
    assert viewer.delete(f"/sessions/{session}").status_code == 403
    assert operator.delete(f"/sessions/{session}").status_code == 409
    operator.post(f"/tasks/{busy}/cancel")
    assert operator.delete(f"/sessions/{session}").status_code == 204
    assert viewer.get(f"/sessions/{session}").status_code == 404
    assert viewer.get(f"/tasks/{busy}").status_code == 200


def test_an_isolation_needs_a_session_and_is_one_of_those_that_there_are(operator: Person) -> None:
    assert operator.submits(session="s", isolation="isolated")["isolation"] == "isolated"
    assert operator.submits()["isolation"] is None
    for fields in ({"isolation": "shared"}, {"session": "s", "isolation": "total"}):
        answer = operator.post("/tasks", {"agent": "echo", "input": "hello", **fields})
        assert (answer.status_code, pointers(answer)) == (400, ["/isolation"])
