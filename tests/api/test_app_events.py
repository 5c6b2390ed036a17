"""An App's events: the list, the stream, and saying that something has happened."""

from __future__ import annotations

import json
import socket
import threading
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection, transaction

from apps.accounts.permissions import Caller, Role
from apps.queue import sql
from apps.tasks.api import stream, views
from apps.tasks.api.stream import AppEventStream, newest_id
from apps.tasks.api.waiting import Share
from apps.tasks.event_search import EventFilter
from apps.tasks.events import EventType, NewEvent, announce, publish
from apps.tenancy.context import in_app
from apps.tenancy.http.authentication import OPERATOR
from tests.api.conftest import Person, pointers


def published(person: Person, type: str = "order_placed", **fields: Any) -> dict[str, Any]:
    answer = person.post("/events", {"type": type, **fields})
    assert answer.status_code == 201, answer.content
    event: dict[str, Any] = answer.json()
    return event


def listed(person: Person, query: str = "") -> list[dict[str, Any]]:
    answer = person.get(f"/events?{query}")
    assert answer.status_code == 200, answer.content
    events: list[dict[str, Any]] = answer.json()["results"]
    return events


# --- Saying so --------------------------------------------------------------------------------------------------------
def test_what_somebody_says_has_happened_stands_in_the_list_with_who_said_it(
    operator: Person, viewer: Person, outsider: Person
) -> None:
    event = published(operator, data={"order": 7})
    assert (event["type"], event["payload"]) == ("custom", {"name": "order_placed", "data": {"order": 7}})
    assert event["actor"] and event["task"] is event["seq"] is None
    assert listed(viewer)[0] == event
    assert listed(outsider) == []


def test_an_event_of_a_task_stands_in_that_ones_timeline(operator: Person) -> None:
    task = operator.submits()
    event = published(operator, task=task["id"])
    assert (event["task"], event["agent"], event["seq"]) == (task["id"], "echo", 2)
    timeline = operator.get(f"/tasks/{task['id']}/events").json()["results"]
    assert [one["type"] for one in timeline] == ["state_changed", "custom"]


def test_a_task_that_is_not_there_or_another_apps_is_named_as_the_fault(operator: Person, outsider: Person) -> None:
    for id in (str(uuid4()), operator.submits()["id"]):
        answer = outsider.post("/events", {"type": "x", "task": id})
        assert (answer.status_code, pointers(answer)) == (400, ["/task"])


@pytest.mark.parametrize("type", ["", "Order", "order placed", "1st", "ordér", "a" * 65, "x\n", 7, None])
def test_a_name_that_is_none_is_refused(operator: Person, type: Any) -> None:
    answer = operator.post("/events", {"type": type})
    assert (answer.status_code, pointers(answer)) == (400, ["/type"])
    assert listed(operator) == []


def test_a_key_makes_one_event_however_often_it_is_sent(operator: Person) -> None:
    first = operator.post("/events", {"type": "paid", "data": {"n": 1}}, Idempotency_Key="k1")
    again = operator.post("/events", {"type": "paid", "data": {"n": 1}}, Idempotency_Key="k1")
    assert (again.status_code, again.json(), again["Idempotency-Replayed"]) == (201, first.json(), "true")
    assert operator.post("/events", {"type": "paid", "data": {"n": 2}}, Idempotency_Key="k1").status_code == 422
    assert operator.post("/tasks", {"agent": "echo", "input": "x"}, Idempotency_Key="k1").status_code == 422
    assert len(listed(operator)) == 1


# --- The list ---------------------------------------------------------------------------------------------------------
def test_the_list_is_narrowed_by_type_name_task_and_agent(operator: Person) -> None:
    task = operator.submits()
    placed, paid = published(operator), published(operator, "order.paid", task=task["id"])
    assert listed(operator, "type=custom") == [paid, placed]
    assert listed(operator, "type=custom.order.paid") == [paid]
    assert listed(operator, "type=custom.order_placed&type=state_changed")[0] == placed
    assert [one["type"] for one in listed(operator, f"task={task['id']}")] == ["custom", "state_changed"]
    assert listed(operator, "agent=echo&type=custom") == [paid]
    assert listed(operator, "agent=clerk") == listed(operator, "entry_point=nightly") == []
    for query in ("type=nothing", "type=custom.", "type=custom.A", "task=1", "kind=custom"):
        assert operator.get(f"/events?{query}").status_code == 400


def test_pages_go_back_in_time(operator: Person) -> None:
    events = [published(operator, data={"n": n}) for n in range(3)]
    first = operator.get("/events?limit=2&type=custom").json()
    assert first["results"] == [events[2], events[1]]
    assert operator.get(first["next"]).json()["results"] == [events[0]]


def test_who_may_see_no_payloads_sees_the_name_and_not_the_data(operator: Person, onlooker: Person) -> None:
    published(operator, data={"card": "4242"})
    assert listed(onlooker)[0]["payload"] == {"name": "order_placed"}


# --- The stream -------------------------------------------------------------------------------------------------------
def opened(wanted: EventFilter | None = None, after: int = 0, caller: Caller = OPERATOR) -> AppEventStream:
    share = Share(1)
    assert share.take()
    with in_app("acme") as app:
        pass
    return AppEventStream(app, caller, wanted or EventFilter(), after, share)


def read(stream: AppEventStream, count: int) -> list[dict[str, Any]]:
    """So many events of the stream, whose ids are checked."""
    events = []
    while len(events) < count:
        part = next(iter(stream))
        if "data: " in part:
            id, kind, data = part.strip().split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert (id, kind) == (f"id: {event['id']}", f"event: {event['type']}")
            events.append(event)
    return events


def test_a_stream_goes_on_after_the_event_that_its_reader_has_seen(operator: Person) -> None:
    events = [published(operator, data={"n": n}) for n in range(3)]
    live = opened()
    assert read(live, 3) == events
    more = published(operator)
    assert read(live, 1) == [more]
    live.close()
    resumed = opened(after=events[1]["id"])
    assert read(resumed, 2) == [events[2], more]
    resumed.close()


def test_a_stream_sends_what_fits_its_filter(operator: Person) -> None:
    task = operator.submits()
    published(operator)
    paid = published(operator, "paid", task=task["id"])
    live = opened(EventFilter(types=["custom"], agent="echo"))
    assert read(live, 1) == [paid]
    live.close()


def test_the_stream_begins_now_unless_it_is_told_where(operator: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    share = Share(1)
    monkeypatch.setattr(views, "long_answers", lambda: share)
    published(operator, "before")
    answer = operator.get("/events", Accept="text/event-stream")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    after = published(operator, "after")
    parts = iter(answer.streaming_content)
    assert next(parts).startswith(b"id: "), "where to go on if nothing ever comes"
    assert next(parts).startswith(f"id: {after['id']}\n".encode())
    assert operator.get("/events", Accept="text/event-stream").status_code == 503
    answer.close()
    assert operator.get("/events", Accept="text/event-stream", Last_Event_ID="x").status_code == 400


def test_payloads_stay_hidden_in_the_stream(operator: Person) -> None:
    published(operator, data={"card": "4242"})
    live = opened(caller=Caller("someone", Role.VIEWER, app_name="acme", sees_payloads=False))
    assert read(live, 1)[0]["payload"] == {"name": "order_placed"}
    live.close()


def test_what_is_committed_late_is_sent_in_its_place(operator: Person) -> None:
    """On PostgreSQL an event may get its id long before it is there, and others behind it are there first."""
    if not sql.is_postgresql():
        pytest.skip("SQLite's writers take turns")
    live = opened(EventFilter(types=["custom"]))
    written, go = threading.Event(), threading.Event()

    def writes_slowly() -> None:
        try:
            with in_app("acme"), transaction.atomic():
                announce(NewEvent(EventType.CUSTOM, {"name": "slow", "data": {}}))
                written.set()
                assert go.wait(20)
        finally:
            connection.close()

    writer = threading.Thread(target=writes_slowly)
    writer.start()
    assert written.wait(20)
    with in_app("acme"):
        quick = publish("quick", {}, by="tests")
        assert newest_id() == quick
    assert "retry" in next(iter(live))
    with in_app("acme"):
        assert live._look() == ([], False), "something may still come in front of it"
    go.set()
    writer.join()
    assert [event["payload"]["name"] for event in read(live, 2)] == ["slow", "quick"]
    live.close()


def test_a_client_that_takes_nothing_lets_its_sender_go_on() -> None:
    server, client = socket.socketpair()
    with server, client:
        stream.limit_sending(server, 0, 50_000)
        with pytest.raises(BlockingIOError):
            server.sendall(b"x" * 10_000_000)
