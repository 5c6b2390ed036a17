"""A message's way, step by step: written down once, tried by the schedule, given up, switched off, sent again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from apps.queue import entries, leases
from apps.queue.database import DatabaseThread
from apps.queue.handler import Job
from apps.queue.leases import Lease
from apps.queue.models import QueueEntry, Worker
from apps.tasks import outbox, recovery, retention
from apps.tasks.events import EventType, NewEvent, announce
from apps.tasks.integrity import complaints
from apps.tasks.models import Event
from apps.tenancy.models import App
from apps.triggers.channels.base import Outcome, channel_types
from apps.triggers.errors import ChannelNotActive, ChannelNotDisabled, DeliveryWaiting
from apps.triggers.models import Channel, Delivery, DeliveryAttempt
from apps.triggers.notifications import deliveries, lifecycle, sending
from apps.triggers.notifications.deliveries import WAITS, Attempted
from tests.support import letters
from tests.support.agents import submit
from tests.triggers.conftest import Configure, hook

URL = "https://example.com/hook"
NO = Outcome("The receiver answered 500.", 500, "oh")
YES = Outcome(status=200)


def happens(*kinds: str) -> None:
    announce(*(NewEvent(EventType(kind), {"agent": "echo"}) for kind in kinds))


def hand_over(app: App, worker: Worker) -> None:
    """What a worker does with the entries of the outbox."""
    mine = [lease for lease in leases.claim(worker.pk, 100) if lease.kind == outbox.KIND]
    with transaction.atomic():
        outbox.hand_over(app, mine)
    QueueEntry.objects.filter(kind=lifecycle.KIND, state="leased").update(state="ready", worker=None, leased_at=None)


def channel(name: str = "webhook") -> Channel:
    return Channel.objects.get(name=name)


def told(app: App, worker: Worker) -> Delivery:
    """A message that waits for its first attempt."""
    happens("operation_started")
    hand_over(app, worker)
    return Delivery.objects.latest("pk")


def attempt(app: App, delivery: Delivery, outcome: Outcome = NO) -> tuple[Delivery, str]:
    """The message afterwards, and why its channel shall be switched off."""
    with transaction.atomic():
        [verdict] = deliveries.settle(app, [Attempted(delivery, outcome, 0.1)])
    delivery.refresh_from_db()
    return delivery, verdict


def begun(app: App, worker: Worker) -> list[tuple[Lease, Any]]:
    return list(sending.begin(app, leases.claim(worker.pk, 100), str(worker)))


@pytest.fixture
def one(configure: Configure) -> None:
    configure(hook(URL, "operation_started"))


# --- From events to deliveries ------------------------------------------------------------------------------------
def test_each_channel_gets_what_it_wants_once_and_in_order(app: App, worker: Worker, configure: Configure) -> None:
    configure(
        hook(URL, "operation_started", "operation_stopped", name="all"),
        hook(URL, "operation_stopped", name="some"),
        hook(URL, "operation_started", name="off", enabled=False),
    )
    happens("operation_started", "operation_completed", "operation_stopped")
    happens("operation_started")
    hand_over(app, worker)
    rows = Delivery.objects.order_by("pk").values_list("channel", "type")
    assert [kind for name, kind in rows if name == "all"] == [
        "operation_started", "operation_stopped", "operation_started",
    ]  # fmt: skip
    assert [kind for name, kind in rows if name == "some"] == ["operation_stopped"]
    assert not [name for name, _ in rows if name == "off"]
    assert complaints(app) == []
    for event in Event.objects.all():  # as if the events had never been marked as read
        Event.objects.filter(pk=event.pk).update(unread=True)
    with transaction.atomic():
        outbox.hand_over(app, [])
    assert Delivery.objects.count() == 4


def test_a_channel_of_some_agents_is_told_of_their_tasks_only(app: App, worker: Worker, configure: Configure) -> None:
    configure(hook(URL, "state_changed", agents=["echo"]), hook(URL, "state_changed", name="every"))
    task = submit(app, "echo")
    submit(app, "refuse")
    with transaction.atomic():
        outbox.hand_over(app, [])
    assert list(Delivery.objects.filter(channel="webhook").values_list("task", flat=True)) == [task.pk]
    assert Delivery.objects.filter(channel="every").count() == 2


def test_a_dead_letter_is_told_in_the_transaction_that_files_it(app: App, worker: Worker, configure: Configure) -> None:
    configure(hook(URL, "dead_lettered", "execution_failed"))
    letter = letters.letter(app, worker, "echo")
    with transaction.atomic():
        outbox.hand_over(app, [])
    assert [(one.type, one.task) for one in Delivery.objects.order_by("pk")] == [
        ("execution_failed", letter.task_id), ("dead_lettered", letter.task_id),
    ]  # fmt: skip


# --- The schedule -------------------------------------------------------------------------------------------------
def test_a_message_is_tried_eleven_times_in_about_a_day_and_then_given_up(app: App, worker: Worker, one: None) -> None:
    delivery = told(app, worker)
    waited = 0.0
    for number in range(1, 12):
        delivery, _ = attempt(app, delivery)
        assert delivery.attempts == number
        if number < 11:
            assert delivery.status == "waiting" and delivery.next_attempt_at
            wait = (delivery.next_attempt_at - timezone.now()).total_seconds()
            assert WAITS[number - 1] - 1 <= wait <= WAITS[number - 1] * 1.2 + 1
            waited += WAITS[number - 1]
    assert delivery.status == "failed" and delivery.finished_at and delivery.error == "The receiver answered 500."
    assert 24 < waited / 3600 < 25
    assert [row.number for row in DeliveryAttempt.objects.filter(delivery=delivery)] == list(range(1, 12))


def test_a_receiver_that_asks_to_wait_longer_is_heeded(app: App, worker: Worker, one: None) -> None:
    delivery, _ = attempt(app, told(app, worker), Outcome("busy", 503, retry_after=900))
    assert delivery.next_attempt_at and 890 < (delivery.next_attempt_at - timezone.now()).total_seconds() < 901
    assert deliveries.wait_after(0, 10**9) == deliveries.LONGEST_ASKED
    assert (deliveries.wait_after(0, 1) or 0) >= 5


def test_a_message_that_arrives_is_over(app: App, worker: Worker, one: None) -> None:
    delivery, _ = attempt(app, told(app, worker))
    assert channel().state == "failing"
    delivery, verdict = attempt(app, delivery, YES)
    assert (delivery.status, delivery.attempts, delivery.error, verdict) == ("delivered", 2, "", "")
    assert channel().state == "active" and channel().delivered_at


def test_an_attempt_that_was_written_down_already_is_not_written_again(app: App, worker: Worker, one: None) -> None:
    before = told(app, worker)
    attempt(app, Delivery.objects.get(pk=before.pk))
    stale, _ = attempt(app, before, YES)  # of a worker that had been given up
    assert (stale.status, stale.attempts) == ("waiting", 1)


# --- What a worker does -------------------------------------------------------------------------------------------
def test_what_is_due_is_taken_in_order_and_no_more_than_fits(app: App, worker: Worker, one: None) -> None:
    at_once = channel_types["webhook"].at_once
    happens(*["operation_started"] * (at_once + 2))
    hand_over(app, worker)
    [(lease, key)] = begun(app, worker)
    batch = deliveries.next_batch(app, lease, key)
    assert batch and [delivery.pk for delivery in batch.deliveries] == list(
        Delivery.objects.order_by("pk").values_list("pk", flat=True)[:at_once]
    )


def test_the_entry_sleeps_until_the_next_attempt_and_goes_when_nothing_waits(
    app: App, worker: Worker, one: None
) -> None:
    delivery, _ = attempt(app, told(app, worker))
    [(lease, key)] = begun(app, worker)
    assert deliveries.next_batch(app, lease, key) is None
    entry = QueueEntry.objects.get()
    assert entry.state == "scheduled" and entry.run_at and delivery.next_attempt_at
    assert abs((entry.run_at - delivery.next_attempt_at).total_seconds()) < 1
    told(app, worker)
    assert QueueEntry.objects.get().state == "ready"  # brought forward
    for waiting in Delivery.objects.filter(status="waiting"):
        attempt(app, waiting, YES)
    [(lease, key)] = begun(app, worker)
    assert deliveries.next_batch(app, lease, key) is None
    assert not QueueEntry.objects.exists() and complaints(app) == []


def test_a_message_that_comes_while_the_channel_is_being_worked_off_is_found(
    app: App, worker: Worker, one: None
) -> None:
    attempt(app, told(app, worker), YES)
    [(lease, key)] = begun(app, worker)
    happens("operation_started")
    with transaction.atomic():
        outbox.hand_over(app, [])
    assert QueueEntry.objects.filter(kind="delivery").get().state == "leased"
    assert deliveries.next_batch(app, lease, key)


def test_a_worker_that_was_given_up_sends_nothing_more(app: App, worker: Worker, one: None) -> None:
    told(app, worker)
    [(lease, key)] = begun(app, worker)
    leases.give_back([lease])
    assert deliveries.next_batch(app, lease, key) is None
    assert QueueEntry.objects.get().state == "ready"


def test_an_app_has_only_so_many_channels_under_way(
    app: App, worker: Worker, configure: Configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "CHANNELS_AT_ONCE", 2)
    configure(*(hook(URL, "operation_started", name=f"hook-{number}") for number in range(3)))
    told(app, worker)
    assert len(begun(app, worker)) == 2
    assert sorted(QueueEntry.objects.values_list("state", flat=True)) == ["leased", "leased", "scheduled"]


def test_messages_leave_slots_of_a_worker_for_tasks(app: App, worker: Worker, configure: Configure) -> None:
    configure(*(hook(URL, "operation_started", name=f"hook-{number}") for number in range(3)))
    told(app, worker)
    assert len(begun(app, worker)) == worker.slots // 2
    assert QueueEntry.objects.filter(state="scheduled").count() == 1


def test_a_channel_that_has_had_its_turn_goes_to_the_end_of_the_line(
    app: App, worker: Worker, configure: Configure
) -> None:
    configure(hook(URL, "operation_started", name="busy"), hook(URL, "operation_started", name="other"))
    told(app, worker)
    [busy, other] = [channel("busy").pk, channel("other").pk]
    [first] = leases.claim(worker.pk, 1)
    assert first.key == busy
    job = Job(app, first, busy, DatabaseThread(), str(worker))
    sending.line_up_again(job)
    sending.line_up_again(job)  # the answer to the commit was lost
    assert [lease.key for _ in range(2) for lease in leases.claim(worker.pk, 1)] == [other, busy]
    assert QueueEntry.objects.get(key=busy).epoch > first.epoch


def test_a_channel_whose_entry_is_gone_is_found_again(app: App, worker: Worker, one: None) -> None:
    told(app, worker)
    entries.remove(app, channel().pk, kind=lifecycle.KIND)
    assert complaints(app) == [f"channel with waiting deliveries without its queue entry: {channel().pk}"]
    assert recovery.repair(app).enqueued == 1
    assert recovery.repair(app).enqueued == 0
    assert complaints(app) == []


# --- Switching off ------------------------------------------------------------------------------------------------
def fail_since(hours: float) -> None:
    Channel.objects.update(failing_since=timezone.now() - timedelta(hours=hours))


def test_a_channel_is_switched_off_when_every_attempt_of_a_day_has_failed(app: App, worker: Worker, one: None) -> None:
    delivery, verdict = attempt(app, told(app, worker))
    fail_since(23.9)
    delivery, verdict = attempt(app, delivery)
    assert verdict == ""
    fail_since(24.1)
    waits = told(app, worker)
    delivery, verdict = attempt(app, delivery)
    assert verdict.startswith("every attempt has failed since ") and verdict.endswith("answered 500")
    lifecycle.disable(app, "webhook", verdict)
    waits.refresh_from_db()
    assert channel().state == "disabled" and channel().disabled_because == verdict
    assert waits.status == "failed" and "was switched off" in waits.error
    noted = Event.objects.get(type="notification_disabled")
    assert noted.payload == {"channel": "webhook", "reason": verdict}
    happens("operation_started")
    assert not Event.objects.filter(unread=True).exists()
    assert complaints(app) == []


def test_one_message_that_arrives_in_between_keeps_the_channel_on(app: App, worker: Worker, one: None) -> None:
    delivery = told(app, worker)
    attempt(app, told(app, worker))
    fail_since(30)
    attempt(app, delivery, YES)
    assert attempt(app, told(app, worker))[1] == ""


def test_a_receiver_that_is_gone_gets_nothing_more(app: App, worker: Worker, one: None) -> None:
    delivery, verdict = attempt(app, told(app, worker), Outcome("gone", 410, gone=True))
    assert delivery.status == "failed" and "410" in verdict


def test_another_channel_hears_that_one_was_switched_off(app: App, worker: Worker, configure: Configure) -> None:
    configure(hook(URL, "operation_started"), hook(URL, "notification_disabled", name="watch"))
    lifecycle.disable(app, "webhook", "it is gone")
    lifecycle.disable(app, "webhook", "twice")
    with transaction.atomic():
        outbox.hand_over(app, [])
    told_of = Delivery.objects.get()
    assert told_of.channel == "watch"
    assert told_of.message["data"] | {"event": 0, "link": ""} == {
        "event": 0, "channel": "webhook", "reason": "it is gone", "link": "",
    }  # fmt: skip


def test_a_channel_is_enabled_again_by_somebody(app: App, worker: Worker, one: None) -> None:
    with pytest.raises(ChannelNotDisabled):
        lifecycle.enable(app, channel(), by="anna")
    fail_since(30)
    lifecycle.disable(app, "webhook", "it is gone")
    assert lifecycle.enable(app, channel(), by="anna", reason="repaired").state == "active"
    noted = Event.objects.get(type="notification_enabled")
    assert (noted.actor, noted.payload) == ("anna", {"channel": "webhook", "reason": "repaired"})
    assert attempt(app, told(app, worker))[1] == ""  # a new day


# --- Sending again ------------------------------------------------------------------------------------------------
def test_a_message_is_sent_again_with_its_id_and_its_history(app: App, worker: Worker, one: None) -> None:
    delivery = told(app, worker)
    with pytest.raises(DeliveryWaiting):
        deliveries.redeliver(app, delivery, by="anna")
    attempt(app, delivery)
    Delivery.objects.filter(pk=delivery.pk).update(status="failed", next_attempt_at=None, finished_at=timezone.now())
    QueueEntry.objects.all().delete()
    again = deliveries.redeliver(app, delivery, by="anna", reason="it is back")
    assert (again.pk, again.status, again.attempts, again.tries) == (delivery.pk, "waiting", 1, 0)
    assert QueueEntry.objects.get().state == "ready"
    delivery, _ = attempt(app, again, YES)
    assert (delivery.status, delivery.attempts) == ("delivered", 2)
    noted = Event.objects.get(type="notification_redelivered")
    assert noted.payload["delivery"] == str(delivery.pk) and noted.actor == "anna"


def test_all_that_failed_since_an_instant_is_sent_again(app: App, worker: Worker, one: None) -> None:
    long_ago, lately, fine = told(app, worker), told(app, worker), told(app, worker)
    for delivery, days in ((long_ago, 3), (lately, 1)):
        finished = timezone.now() - timedelta(days=days)
        Delivery.objects.filter(pk=delivery.pk).update(status="failed", next_attempt_at=None, finished_at=finished)
    attempt(app, fine, YES)
    since = timezone.now() - timedelta(days=2)
    assert deliveries.redeliver_failed(app, channel(), since, by="anna") == 1
    assert deliveries.redeliver_failed(app, channel(), since, by="anna") == 0
    assert [one.pk for one in Delivery.objects.filter(status="waiting")] == [lately.pk]


def test_nothing_is_sent_by_a_channel_that_is_off(app: App, worker: Worker, configure: Configure) -> None:
    configure(hook(URL, "operation_started"))
    delivery, _ = attempt(app, told(app, worker), YES)
    lifecycle.disable(app, "webhook", "it is gone")
    for verb in (
        lambda: deliveries.redeliver(app, delivery, by="anna"),
        lambda: deliveries.redeliver_failed(app, channel(), timezone.now(), by="anna"),
        lambda: deliveries.send_test(app, channel(), by="anna"),
    ):
        with pytest.raises(ChannelNotActive, match="enable it first"):
            verb()
    configure()
    with pytest.raises(ChannelNotActive, match="no channel"):
        deliveries.redeliver(app, delivery, by="anna")


def test_a_test_is_tried_once_and_says_nothing_about_the_channel(app: App, worker: Worker, one: None) -> None:
    test = deliveries.send_test(app, channel(), by="anna")
    assert test.message["type"] == "test" and test.message["data"]["channel"] == "webhook"
    test, verdict = attempt(app, test)
    assert (test.status, test.attempts, verdict, channel().state) == ("failed", 1, "", "active")


# --- The log ------------------------------------------------------------------------------------------------------
def ages(app: App, rows: Sequence[Delivery], days: int) -> None:
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(finished_at=timezone.now() - timedelta(days=days))


@pytest.mark.django_db(transaction=True)
def test_the_log_is_kept_for_a_time_and_what_waits_for_ever(app: App, worker: Worker, one: None) -> None:
    old, young, waiting = told(app, worker), told(app, worker), told(app, worker)
    for delivery in (old, young):
        attempt(app, delivery, YES)
    ages(app, [old], 31)
    Delivery.objects.filter(pk=waiting.pk).update(created_at=timezone.now() - timedelta(days=400))
    assert retention.prunable(app)["triggers_delivery"] == 1
    gone = retention.prune(app)
    assert gone["triggers_delivery"] == gone["triggers_deliveryattempt"] == 1
    assert set(Delivery.objects.values_list("pk", flat=True)) == {young.pk, waiting.pk}
    app.retention = {"notifications": 0}
    ages(app, [young], 4000)
    assert retention.prunable(app)["triggers_delivery"] == 0
