"""The pages of what came for webhooks: the list, one delivery with what it held, handing it over again."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.tasks.models import Event, Task
from apps.tenancy import secrets
from apps.tenancy.models import App
from apps.triggers.models import WebhookDelivery
from tests.support import agents
from tests.triggers.webhooks import KEY, send, signed

Read = Callable[[str], str]
PAGE = "/admin/webhooks/"
ROW = 'data-label="Came"'
HOSTILE = "<script>alert('x')</script>"
HOOK = {"type": "webhook", "path": "/hook", "secret": "${secret:HOOK}", "signature": "github"}


@pytest.fixture
def hooked(configured: App) -> App:
    """`hook`, which makes tasks of bodies with a text."""
    secrets.put(configured, "HOOK", KEY)
    document: dict[str, Any] = agents.document({"echo": agents.function("echo")})
    entry = {"agent": "echo", "trigger": HOOK, "input": {"text": "{{ body.text }}"}}
    agents.apply(configured, document | {"entry_points": {"hook": entry}}, by="olga")
    return configured


def newest() -> WebhookDelivery:
    return WebhookDelivery.objects.latest("id")


def test_an_app_without_webhooks_says_where_they_come_from(read: Read) -> None:
    page = read(PAGE)
    assert "No other program starts work in this App." in page and "/admin/configuration/" in page


def test_deliveries_are_listed_with_their_verdict_and_lead_to_their_task(hooked: App, read: Read) -> None:
    assert "Nothing has come yet." in read(PAGE) and "/webhooks/acme/hook" in read(PAGE)
    signed("/hook", {"text": "hello"}, "d-1")
    signed("/hook", {"text": " "}, "d-2")
    send("/hook", b"{}")
    page = read(PAGE)
    assert page.count(ROW) == 3 and f"/admin/tasks/{Task.objects.get().pk}/" in page
    for verdict in ("started", "filtered", "unverified"):
        assert read(f"{PAGE}?verdict={verdict}").count(ROW) == 1
    assert read(f"{PAGE}?entry_point=hook").count(ROW) == 3
    assert "No delivery matches." in read(f"{PAGE}?entry_point=other")


def test_deliveries_go_on_on_further_pages(hooked: App, read: Read, console: Client) -> None:
    for number in range(51):
        signed("/hook", {"text": " "}, f"d-{number}")
    first = read(PAGE)
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    assert (first.count(ROW), read(html.unescape(older)).count(ROW)) == (50, 1)
    assert console.get(f"{PAGE}?before=x").status_code == 404


def test_one_delivery_shows_what_came_as_text(hooked: App, read: Read) -> None:
    signed(f"/hook?q={HOSTILE}", {"text": HOSTILE})
    page = read(f"{PAGE}{newest().pk}/")
    assert HOSTILE not in page and "x-hub-signature-256" in page and KEY not in page
    send("/hook", b'{"text": "unsigned"}')
    page = read(f"{PAGE}{newest().pk}/")
    assert "Nothing shows who sent it." in page and "which were not kept" in page and "Hand over again" not in page


def test_handing_over_again_asks_first_and_leads_to_what_was_made_of_it(hooked: App, console: Client) -> None:
    signed("/hook", {"text": "hello"}, "d-1")
    address = f"{PAGE}{newest().pk}/redeliver/"
    assert "this makes another one" in console.get(address).content.decode()
    assert Task.objects.count() == 1
    answer = console.post(address, {"app": "acme", "reason": "lost"})
    assert answer["Location"] == f"{PAGE}{newest().pk}/" and newest().by == "olga"
    assert (Task.objects.count(), Event.objects.filter(type="webhook_redelivered", actor="olga").count()) == (2, 1)


def test_what_cannot_be_handed_over_says_why(hooked: App, console: Client) -> None:
    signed("/hook", {"text": "hello"})
    document = agents.document({"echo": agents.function("echo")})
    agents.apply(hooked, document, by="olga")
    answer = console.post(f"{PAGE}{newest().pk}/redeliver/", {"app": "acme"})
    assert answer.status_code == 409 and "has no webhook" in answer.content.decode()
    assert console.get(f"{PAGE}00000000-0000-7000-8000-000000000001/").status_code == 404
