"""The pages of notifications: channels and how they are doing, messages and what came back, sending again."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.tasks.models import Event
from apps.tenancy.models import App
from apps.triggers.models import Channel, Delivery, DeliveryAttempt
from apps.triggers.notifications import lifecycle
from tests.console.conftest import member
from tests.support import agents
from tests.triggers.conftest import hook

Read = Callable[[str], str]
PAGE = "/admin/notifications/"
HOSTILE = "<script>alert('x')</script>"
URL = "https://example.com/hook"


def text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def made(status: str = "failed", *, channel: str = "ops", days: float = 0, **values: Any) -> Delivery:
    """A message; what is not on its way any more has ended so many days ago."""
    at = timezone.now() - timedelta(days=days)
    waits = {"next_attempt_at": at} if status == "waiting" else {"finished_at": at}
    rest = {"event": Delivery.objects.count() + 1, "type": "execution_failed", "message": {"data": {"agent": "echo"}}}
    return Delivery.objects.create(channel=channel, status=status, **(rest | waits | values))


@pytest.fixture
def channels(configured: App, settings: Any) -> App:
    """`ops`, which fails, and mails of one agent, which nothing was sent to."""
    mails = {"type": "email", "to": "anna@example.com", "events": ["dead_lettered"], "agents": ["echo"]}
    document = agents.document({"echo": agents.function("echo")})
    agents.apply(
        configured, document | {"notifications": [hook(URL, "execution_failed", name="ops"), mails]}, by="olga"
    )
    Channel.objects.filter(name="ops").update(failing_since=timezone.now() - timedelta(hours=2))
    return configured


def test_an_app_without_channels_says_where_they_come_from(read: Read) -> None:
    page = read(PAGE)
    assert "Nobody is told what happens in this App." in page and "/admin/configuration/" in page


def test_each_channel_says_how_it_is_doing_and_its_numbers_lead_to_their_lists(channels: App, read: Read) -> None:
    assert "No messages yet." in read(PAGE)
    for status in ("failed", "failed", "waiting", "delivered"):
        made(status, attempts=1)
    page = read(PAGE)
    shown = text(page)
    assert "Nothing has arrived since 2 h ago" in shown and URL in shown
    assert "Nothing has been sent yet." in shown and "anna@example.com" in shown
    for status, number in (("waiting", 1), ("failed", 2)):
        address = f"{PAGE}?channel=ops&status={status}"
        assert f'<a href="{html.escape(address)}">{number} {status}</a>' in page
        assert read(address).count('data-label="Attempts"') == number
    assert read(PAGE).count('data-label="Attempts"') == 4
    assert "No message matches." in read(f"{PAGE}?channel=email")


def test_messages_go_on_on_further_pages(channels: App, read: Read) -> None:
    for _ in range(51):
        made()
    first = read(PAGE)
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    assert first.count('data-label="Attempts"') == 50
    assert read(html.unescape(older)).count('data-label="Attempts"') == 1


def test_a_wrong_place_in_the_list_is_not_there(channels: App, console: Client) -> None:
    assert console.get(f"{PAGE}?before=nonsense").status_code == 404


def test_a_message_shows_every_attempt_and_what_came_back_as_text(channels: App, read: Read) -> None:
    delivery = made("waiting", attempts=1, tries=1, error="The receiver answered 500.", message={"type": HOSTILE})
    DeliveryAttempt.objects.create(
        delivery=delivery, number=1, seconds=0.25, status=500, answer=HOSTILE, error="The receiver answered 500."
    )
    page = read(f"{PAGE}messages/{delivery.pk}/")
    assert HOSTILE not in page and page.count(html.escape(HOSTILE)) >= 2
    assert "(2 of 11)" in text(page) and "250 ms" in page
    assert f"messages/{delivery.pk}/redeliver/" not in page, "it is on its way"


def test_a_message_is_sent_again_after_asking(channels: App, console: Client, read: Read) -> None:
    delivery = made(error="The receiver answered 500.")
    path = f"{PAGE}messages/{delivery.pk}/redeliver/"
    assert path in read(f"{PAGE}messages/{delivery.pk}/")
    assert "once more" in read(path)
    delivery.refresh_from_db()
    assert delivery.status == "failed", "asking changes nothing"
    answer: Any = console.post(path, {"app": "acme", "reason": "it is back"})
    assert answer["Location"] == f"{PAGE}messages/{delivery.pk}/"
    delivery.refresh_from_db()
    assert delivery.status == "waiting"
    noted = Event.objects.get(type="notification_redelivered")
    assert (noted.actor, noted.payload["reason"]) == ("olga", "it is back")
    assert console.post(path, {"app": "acme"}).status_code == 409
    assert "Notification redelivered" in read("/admin/audit/")


def test_what_has_failed_is_sent_again_as_far_back_as_is_said(channels: App, console: Client, read: Read) -> None:
    for days in (0.5, 3, 3, 20):
        made(days=days)
    path = f"{PAGE}channels/ops/redeliver/"
    assert "Nothing has failed" in read(f"{PAGE}channels/email/redeliver/")
    shown = text(read(path))
    assert 'value="day" checked' in read(path), "the narrowest that has any"
    assert "in the last hour: 0" in shown and "in the last day: 1" in shown and "in the last week: 3" in shown
    console.post(path, {"app": "acme", "since": "week"})
    assert Delivery.objects.filter(status="waiting").count() == 3
    assert "3 messages are sent once more." in read(PAGE)


def test_a_channel_that_was_switched_off_is_seen_on_every_page_and_switched_on(
    channels: App, console: Client, read: Read
) -> None:
    delivery = made()
    lifecycle.disable(channels, "ops", "the receiver answered 410")
    assert re.search(r'<a class="nav-badge" href="/admin/notifications/"[^>]*>1<', read("/admin/tasks/"))
    page = read(PAGE)
    assert "Switched off" in page and "the receiver answered 410" in page
    assert "enable it first" in read(f"{PAGE}messages/{delivery.pk}/")
    assert console.post(f"{PAGE}channels/ops/test/", {"app": "acme"}).status_code == 409
    path = f"{PAGE}channels/ops/enable/"
    assert path in page and "the receiver answered 410" in read(path)
    console.post(path, {"app": "acme"})
    assert Channel.objects.get(name="ops").state == "active"
    assert console.post(path, {"app": "acme"}).status_code == 409


def test_a_test_leads_to_its_message(channels: App, console: Client, read: Read) -> None:
    path = f"{PAGE}channels/ops/test/"
    assert URL in read(path)
    answer: Any = console.post(path, {"app": "acme"})
    assert answer["Location"] == f"{PAGE}messages/{Delivery.objects.get().pk}/"
    assert "On its way." in read(answer["Location"])


def test_an_operator_of_the_app_sends_again_and_only_an_admin_tests(
    channels: App, client: Client, console: Client
) -> None:
    client.force_login(member("otto", "operator", channels))
    page = client.get(f"{PAGE}?app=acme").content.decode()
    assert "channels/ops/redeliver/" in page and "channels/ops/test/" not in page
    assert client.get(f"{PAGE}channels/ops/test/?app=acme").status_code == 403
