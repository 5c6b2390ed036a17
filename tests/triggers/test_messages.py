"""What a message holds, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction
from django.urls import resolve

from apps.approvals import lifecycle as approvals
from apps.approvals.lifecycle import Call
from apps.approvals.models import Approval
from apps.queue.models import Worker
from apps.tasks.events import EventType
from apps.tasks.models import Event
from apps.tenancy.models import App
from apps.triggers import messages
from apps.triggers.channels.base import EVENTS
from apps.triggers.messages import Happening
from tests.support import letters
from tests.support.agents import submit
from tests.support.transitions import settle, start
from tests.triggers.conftest import Configure


@pytest.fixture(autouse=True)
def _configured(configure: Configure) -> None:
    configure()


def told(app: App, kind: str, *, include_payload: bool = False) -> dict[str, Any]:
    """The message about the last event of this type."""
    event = Event.objects.select_related("task").filter(type=kind).latest("pk")
    approval = Approval.objects.filter(pk=event.payload.get("approval")).first()
    return messages.of_event(app, Happening(event, event.task, approval), include_payload=include_payload)


def page_of(message: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The console's page that the link opens."""
    link = message["data"]["link"]
    assert link.startswith("https://hector.example/") and link.endswith("?app=acme")
    match = resolve(link.removeprefix("https://hector.example").partition("?")[0])
    return match.view_name, match.kwargs


def test_a_message_about_a_failed_task(app: App, worker: Worker) -> None:
    letter = letters.letter(app, worker, "echo", "no such customer", value={"card": "4711"}, code="refused")
    message = told(app, "dead_lettered")
    event = Event.objects.get(type="dead_lettered")
    assert set(message) == {"type", "app", "at", "data"}
    assert (message["type"], message["app"]) == ("dead_lettered", "acme")
    assert message["at"].startswith(event.at.isoformat()[:19])
    data = message["data"]
    assert data["task"] == str(letter.task_id) and data["agent"] == "echo" and data["seq"] == event.seq
    assert data["event"] == event.pk
    assert data["error"] == {"code": "refused", "message": "no such customer", "retryable": False}
    assert page_of(message) == ("admin:task", {"task_id": letter.task_id})
    assert messages.subject(message) == "echo has failed for good"
    assert ("Error", "refused: no such customer") in messages.lines(message)


def test_a_message_about_an_approval_leads_to_it_and_shows_no_arguments(app: App, worker: Worker) -> None:
    submit(app, "echo")
    with transaction.atomic():
        run = start(app, worker)
        assert run
        call = Call(Approval.Kind.IN_DOUBT, "tool:1:a", "deploy", {"card": "4711"})
        settle(app, run, approvals.ask(app, run, [call]))
    approval = Approval.objects.get()
    message = told(app, "approval_requested")
    assert message["data"]["approval"] == str(approval.pk) and message["data"]["tool"] == "deploy"
    assert page_of(message) == ("inbox_approval", {"approval_id": approval.pk})
    assert messages.subject(message) == "echo asks for a decision about deploy"
    assert "4711" not in str(message) and "payload" not in message["data"]
    whole = told(app, "approval_requested", include_payload=True)["data"]["payload"]
    assert whole["arguments"] == {"card": "4711"} and whole["input"] == {"text": "hello"}


def test_only_known_facts_are_told_unless_the_payload_is_asked_for(app: App) -> None:
    event = Event(pk=1, type="state_changed", payload={"to": "paused", "agent": "echo", "card": "4711"}, actor="anna")
    event.at = messages.datetime(2026, 1, 1)
    told = Happening(event, None, None)
    data = messages.of_event(app, told, include_payload=False)["data"]
    assert data | {"link": ""} == {"event": 1, "to": "paused", "agent": "echo", "actor": "anna", "link": ""}
    assert messages.of_event(app, told, include_payload=True)["data"]["payload"]["event"]["card"] == "4711"


def test_a_payload_that_is_too_large_is_left_out(app: App) -> None:
    submit(app, "echo", "x" * messages.LARGEST_PAYLOAD)
    data = told(app, "state_changed", include_payload=True)["data"]
    assert set(data["payload"]) == {"omitted"}


@pytest.mark.parametrize("kind", [*EVENTS, messages.TEST])
def test_every_message_has_words_and_a_page(kind: str, app: App) -> None:
    event = Event(pk=1, type=kind, payload={}, at=messages.datetime(2026, 1, 1))
    message = messages.of_event(app, Happening(event, None, None), include_payload=True)
    assert messages.subject(message)
    assert page_of(message)[0].startswith("admin:")


def test_what_happens_within_a_run_is_not_told() -> None:
    assert not {"llm_started", "llm_completed", "tool_call_started", "tool_call_completed"} & set(EVENTS)
    assert set(EVENTS) < set(EventType.values)
