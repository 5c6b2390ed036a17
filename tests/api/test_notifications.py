"""Notification channels and the log of messages, over the API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from apps.agents.config.apply import apply
from apps.tasks.models import Event
from apps.tenancy import lifecycle as tenancy
from apps.tenancy import secrets
from apps.tenancy.context import in_app
from apps.triggers.models import Delivery
from apps.triggers.notifications import lifecycle
from tests.api.conftest import DOCUMENT, Person, pointers
from tests.support.http_server import Answer, LocalServer
from tests.support.work import wait_for, working
from tests.triggers.conftest import SECRET, hook


@pytest.fixture
def receiver(world: None, settings: Any) -> Iterator[LocalServer]:
    """`acme` has a channel `webhook` to it, and one of mails."""
    settings.HECTOR_HTTP_ALLOW = ["127.0.0.1"]
    with LocalServer(lambda _: Answer(b"thanks")) as server:
        app = tenancy.get("acme")
        secrets.put(app, "HOOK", SECRET)
        mails = {"type": "email", "to": "anna@example.com", "events": ["dead_lettered"], "agents": ["clerk"]}
        apply(app, DOCUMENT | {"notifications": [hook(server.url, "execution_completed"), mails]}, by="tests")
        yield server


def one(person: Person, id: str) -> dict[str, Any]:
    found: dict[str, Any] = person.get(f"/notifications/deliveries/{id}").json()
    return found


def ended(person: Person, id: str) -> dict[str, Any]:
    wait_for(lambda: one(person, id)["status"] != "waiting", what="the message has arrived or was given up")
    return one(person, id)


def test_the_channels_and_how_they_are_doing(receiver: LocalServer, operator: Person) -> None:
    mails, webhook = operator.get("/notifications").json()["results"]
    assert (mails["name"], mails["target"], mails["agents"]) == ("email", "anna@example.com", ["clerk"])
    assert webhook == {
        "name": "webhook", "type": "webhook", "target": receiver.url, "events": ["execution_completed"], "agents": [],
        "include_payload": False, "state": "active", "disabled_at": None, "disabled_because": "",
        "failing_since": None, "delivered_at": None,
    }  # fmt: skip


def test_a_test_is_sent_and_its_log_tells_what_came_back(receiver: LocalServer, admin: Person) -> None:
    answer = admin.post("/notifications/webhook/test", {"reason": "a new address"})
    assert answer.status_code == 202
    assert (answer.json()["type"], answer.json()["status"]) == ("test", "waiting")
    with working():
        delivery = ended(admin, answer.json()["id"])
    assert (delivery["status"], delivery["attempts"], delivery["message"]["type"]) == ("delivered", 1, "test")
    [attempt] = delivery["log"]
    assert (attempt["number"], attempt["status"], attempt["answer"], attempt["error"]) == (1, 200, "thanks", "")
    with in_app("acme"):
        noted = Event.objects.get(type="notification_tested")
    assert noted.payload["reason"] == "a new address" and noted.actor.startswith("app:acme/")


def test_messages_are_found_and_sent_again(receiver: LocalServer, operator: Person) -> None:
    receiver.respond = lambda _: Answer(b"gone", 410)
    task = operator.submits("echo")
    with working():
        wait_for(lambda: operator.get("/notifications/deliveries?status=failed").json()["results"], what="it failed")
        [failed] = operator.get(f"/notifications/deliveries?channel=webhook&task={task['id']}").json()["results"]
        assert failed["error"] == "The receiver answered 410."
        assert operator.get("/notifications/deliveries?type=dead_lettered").json()["results"] == []
        path = f"/notifications/deliveries/{failed['id']}/redeliver"
        wait_for(lambda: operator.get("/notifications").json()["results"][1]["state"] == "disabled", what="it is off")
        refused = operator.post(path)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:hector:problem:channel_not_active")
        with in_app("acme") as app:
            lifecycle.enable(app, lifecycle.Channel.objects.get(name="webhook"), by="tests")
        receiver.respond = lambda _: Answer()
        assert operator.post(path).status_code == 202
        again = ended(operator, failed["id"])
    assert (again["status"], again["attempts"]) == ("delivered", 2)
    assert {request.headers["webhook-id"] for request in receiver.requests} == {failed["id"]}


def test_all_that_failed_since_is_sent_again(receiver: LocalServer, operator: Person) -> None:
    with in_app("acme"):
        for number in range(2):
            Delivery.objects.create(
                channel="webhook", event=number, type="execution_completed", message={}, status="failed",
                finished_at=f"202{number}-01-01T00:00:00Z",
            )  # fmt: skip
    answer = operator.post("/notifications/webhook/redeliver", {"since": "2020-06-01T00:00:00Z"})
    assert (answer.status_code, answer.json()) == (202, {"total": 1})
    assert pointers(operator.post("/notifications/webhook/redeliver", {})) == ["/since"]


def test_a_channel_is_enabled_by_an_admin(receiver: LocalServer, admin: Person) -> None:
    refused = admin.post("/notifications/webhook/enable")
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:hector:problem:channel_not_disabled")
    with in_app("acme") as app:
        lifecycle.disable(app, "webhook", "it is gone")
    assert admin.get("/notifications").json()["results"][1]["disabled_because"] == "it is gone"
    assert admin.post("/notifications/webhook/enable", {"reason": "repaired"}).json()["state"] == "active"


def test_another_apps_channels_and_messages_are_not_there(
    receiver: LocalServer, admin: Person, outsider: Person
) -> None:
    id = admin.post("/notifications/webhook/test").json()["id"]
    assert outsider.get("/notifications").json()["results"] == []
    assert outsider.get("/notifications/deliveries").json()["results"] == []
    assert outsider.get(f"/notifications/deliveries/{id}").status_code == 404
    for path in (f"deliveries/{id}/redeliver", "webhook/enable", "webhook/test", "webhook/redeliver"):
        assert outsider.post(f"/notifications/{path}", {}).status_code == 404, path
    assert admin.get(f"/notifications/deliveries/{uuid4()}").status_code == 404
