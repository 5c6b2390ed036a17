"""Messages on their way, sent by a worker to a receiver on this machine, whatever that does."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.core import mail
from standardwebhooks import Webhook

from apps.queue.models import QueueEntry
from apps.tasks.integrity import complaints
from apps.tasks.models import TaskStatus
from apps.tenancy import secrets
from apps.tenancy.models import App
from apps.triggers.channels import base
from apps.triggers.channels.base import ChannelType, Outcome, Outgoing
from apps.triggers.models import Channel, Delivery
from apps.triggers.notifications import deliveries
from tests.support.agents import submit
from tests.support.http_server import Answer, LocalServer
from tests.support.work import ended, wait_for, working
from tests.triggers.conftest import SECRET, Configure, hook

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _quick_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "WAITS", (0.05,) * 10)


def status(channel: str) -> set[str]:
    return set(Delivery.objects.filter(channel=channel).values_list("status", flat=True))


def arrived(channel: str = "webhook") -> list[Delivery]:
    """The channel's messages, once all of them have arrived."""
    wait_for(lambda: status(channel) == {"delivered"}, what=f"all of {channel} has arrived")
    return list(Delivery.objects.filter(channel=channel).order_by("pk"))


def test_a_receiver_that_is_down_gets_everything_when_it_is_up(app: App, configure: Configure) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    configure(hook(f"http://127.0.0.1:{port}", "execution_failed", "dead_lettered"))
    with working():
        task = ended(submit(app, "refuse"))
        wait_for(lambda: Delivery.objects.filter(attempts__gte=2).count() == 2, what="both were tried in vain")
        assert Channel.objects.get().state == "failing"
        with LocalServer(lambda _: Answer(), port=port) as receiver:
            both = arrived()
    assert task.status == TaskStatus.FAILED
    assert [one.type for one in both] == ["execution_failed", "dead_lettered"]
    assert {request.headers["webhook-id"] for request in receiver.requests} == {str(one.pk) for one in both}
    assert all("failed" in row.error and row.status is None for row in both[0].log.all()[:2])
    assert Channel.objects.get().state == "active"
    assert complaints(app) == [] and not QueueEntry.objects.exists()


def test_a_message_that_is_refused_once_is_sent_again_with_the_same_id(
    app: App, configure: Configure, receiver: LocalServer
) -> None:
    answers = iter([Answer(b"not now", 500), Answer(b"thanks", 200)])
    receiver.respond = lambda _: next(answers)
    configure(hook(receiver.url, "execution_completed"))
    with working():
        ended(submit(app, "echo", "4711"))
        [delivery] = arrived()
    first, second = receiver.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == str(delivery.pk)
    assert first.body == second.body and b"4711" not in first.body
    assert Webhook(SECRET).verify(second.body, dict(second.headers))["type"] == "execution_completed"
    log = [(row.number, row.status, row.answer, row.error) for row in delivery.log.all()]
    assert log == [(1, 500, "not now", "The receiver answered 500."), (2, 200, "thanks", "")]


def test_a_receiver_that_hangs_delays_neither_others_nor_tasks(
    app: App, configure: Configure, receiver: LocalServer, settings: Any
) -> None:
    settings.HECTOR_GRACE = 5.2  # the stop at the end waits for a fifth of a second
    with LocalServer(lambda _: None) as slow:
        configure(hook(slow.url, "execution_completed", name="slow"), hook(receiver.url, "execution_completed"))
        with working(slots=4):
            ended(submit(app, "echo"))
            wait_for(lambda: slow.requests, what="the slow receiver has a request")
            for _ in range(20):
                ended(submit(app, "echo"))
            fine = Delivery.objects.filter(channel="webhook", status="delivered")
            wait_for(lambda: fine.count() == 21, what="the other receiver has all messages")
            assert status("slow") == {"waiting"}
    assert Delivery.objects.filter(channel="slow", attempts=0).count() == 21
    assert QueueEntry.objects.get(key=Channel.objects.get(name="slow").pk).state == "ready"  # handed back
    assert complaints(app) == []


def test_a_receiver_that_is_gone_is_switched_off(app: App, configure: Configure, receiver: LocalServer) -> None:
    receiver.respond = lambda _: Answer(status=410)
    configure(hook(receiver.url, "execution_completed"))
    with working():
        ended(submit(app, "echo"))
        wait_for(lambda: Channel.objects.get().state == "disabled", what="it is switched off")
        ended(submit(app, "echo"))
    assert len(receiver.requests) == Delivery.objects.count() == 1


def test_a_secret_that_is_missing_delays_the_message_until_it_is_there(
    app: App, configure: Configure, receiver: LocalServer
) -> None:
    configure(hook(receiver.url, "execution_completed"))
    secrets.delete(app, "HOOK")
    with working():
        ended(submit(app, "echo"))
        error = "The secret HOOK is not set in this App."
        wait_for(lambda: Delivery.objects.filter(error=error).exists(), what="the log says so")
        secrets.put(app, "HOOK", SECRET)
        arrived()
    assert len(receiver.requests) == 1


def test_a_fault_of_ours_counts_as_an_attempt_and_stops_no_other(
    app: App, configure: Configure, receiver: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook = base.channel_types["webhook"]

    async def faulty(out: Outgoing) -> Outcome:
        if out.message["data"]["agent"] == "refuse":
            raise ZeroDivisionError
        return await webhook.send(out)

    monkeypatch.setitem(base.channel_types, "webhook", ChannelType("webhook", webhook.spec, faulty))
    configure(hook(receiver.url, "execution_completed", "dead_lettered"))
    with working():
        ended(submit(app, "refuse"))
        ended(submit(app, "echo"))
        wait_for(lambda: status("webhook") == {"delivered", "failed"}, what="one arrives, one is given up")
    broken = Delivery.objects.get(status="failed")
    assert broken.attempts == 11
    assert broken.error == "Hector could not send this (ZeroDivisionError); its log says why."


def test_people_are_mailed(app: App, configure: Configure) -> None:
    configure({"type": "email", "to": "anna@example.com", "events": ["dead_lettered"]})
    with working():
        task = ended(submit(app, "refuse"))
        arrived("email")
    [sent] = mail.outbox
    assert sent.to == ["anna@example.com"] and f"https://hector.example/admin/tasks/{task.pk}/?app=acme" in sent.body


def test_a_test_arrives(app: App, configure: Configure, receiver: LocalServer) -> None:
    configure(hook(receiver.url))
    with working():
        deliveries.send_test(app, Channel.objects.get(), by="anna")
        arrived()
    assert Webhook(SECRET).verify(receiver.requests[0].body, dict(receiver.requests[0].headers))["type"] == "test"
