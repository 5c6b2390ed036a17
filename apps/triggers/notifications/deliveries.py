"""A message's way: written down with its event's hand-over, attempted until it arrives or is given up, sent again.

    waiting -> delivered | failed        delivered | failed -> waiting (redeliver)

An attempt that fails is repeated after 5 s, 30 s, 2 min, 10 min, 30 min, 1 h, 2 h, 4 h, 8 h and 9 h, each up to a fifth
longer, and not before the receiver's `Retry-After`: eleven attempts in about a day. All is called inside the App.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from apps.agents.config.references import resolver
from apps.approvals.models import Approval
from apps.queue import entries, leases, sql
from apps.queue.faults import Point, reach
from apps.queue.leases import Lease
from apps.tasks.events import EventType, NewEvent, announce
from apps.tasks.models import Event, Task
from apps.tenancy.models import App
from apps.triggers import messages
from apps.triggers.channels.base import NotificationSpec, Outcome, channel_types
from apps.triggers.errors import DeliveryWaiting
from apps.triggers.messages import Happening
from apps.triggers.models import Channel, Delivery, DeliveryAttempt
from apps.triggers.notifications import lifecycle
from apps.triggers.notifications.lifecycle import ACTIVE, KIND, lock_active, locked, spec_of

WAITS = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 28800.0, 32400.0)  # seconds; then it is given up
LONGER = 0.2  # of a wait, at random
LONGEST_ASKED = 12 * 3600.0  # seconds of a `Retry-After`
WAITING, DELIVERED, FAILED = Delivery.Status.WAITING, Delivery.Status.DELIVERED, Delivery.Status.FAILED


# --- From events to deliveries ------------------------------------------------------------------------------------
def consume(app: App, events: Sequence[Event]) -> None:
    """The outbox's consumer: a delivery for each event and each channel that wants it, in the order of events."""
    channels = locked(**ACTIVE)
    if not channels:
        return
    specs = [(channel, spec_of(channel)) for channel in channels]
    happenings = _looked_up(events, with_payload=any(spec.include_payload for _, spec in specs))
    for channel, spec in specs:
        told = [one for one in happenings if _wants(spec, one)]
        made = [_delivery(app, channel, spec, one) for one in told]
        Delivery.objects.bulk_create(made, ignore_conflicts=True)
        if made:
            _due_now(app, channel)


def _looked_up(events: Sequence[Event], *, with_payload: bool) -> list[Happening]:
    columns = ["agent", "session", "entry_point", *(["input", "output"] if with_payload else [])]
    tasks = Task.objects.only(*columns).in_bulk({event.task_id for event in events if event.task_id})
    asked = Approval.objects.in_bulk({event.payload["approval"] for event in events if "approval" in event.payload})
    approvals = {str(pk): approval for pk, approval in asked.items()}
    return [
        Happening(
            event,
            tasks.get(event.task_id) if event.task_id else None,
            approvals.get(event.payload.get("approval", "")),
        )
        for event in events
    ]


def _delivery(app: App, channel: Channel, spec: NotificationSpec, told: Happening) -> Delivery:
    event = told.event
    message = messages.of_event(app, told, include_payload=spec.include_payload)
    return Delivery(
        channel=channel.name, event=event.pk, type=event.type, task=event.task_id, message=message,
        next_attempt_at=Now(),
    )  # fmt: skip


def _wants(spec: NotificationSpec, told: Happening) -> bool:
    return spec.wants(told.event.type, told.agent, told.entry_point)


def _due_now(app: App, channel: Channel) -> None:
    """Sees to it that somebody looks after the (locked) channel's deliveries."""
    entries.ensure_due(app, channel.pk, kind=KIND, priority=entries.AHEAD)


# --- Attempts -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Batch:
    """What is to be sent to a channel now."""

    spec: NotificationSpec
    resolve: Callable[[str], str]
    deliveries: list[Delivery]


def next_batch(app: App, lease: Lease, channel_id: Any) -> Batch | None:
    """What is due, the longest due first. None: nothing is for now, and the lease is settled, or was lost."""
    with transaction.atomic():
        channel = next(iter(locked(pk=channel_id, **ACTIVE)), None)
        if channel is None:
            leases.finish([lease])
            return None
        if not leases.owned([lease]):
            return None
        waiting = Delivery.objects.filter(channel=channel.name, status=WAITING)
        due = waiting.filter(next_attempt_at__lte=Now()).order_by("next_attempt_at", "pk")
        if found := list(due[: channel_types[channel.type].at_once]):
            return Batch(spec_of(channel), resolver(app), found)
        _rest(lease, channel)
    return None


def _rest(lease: Lease, channel: Channel) -> None:
    """Until the next delivery is due; `delivery_waiting` serves the look."""
    [(seconds,)] = sql.fetch(
        f"SELECT {sql.seconds_since('MIN(next_attempt_at)')} FROM triggers_delivery"
        f" WHERE channel = %s AND status = 'waiting'",
        [channel.name],
    )
    if seconds is None:
        leases.finish([lease])
    else:
        leases.reschedule(lease, max(0.0, -float(seconds)))


@dataclass(frozen=True)
class Attempted:
    """An attempt that is over: the delivery as it was before, and what came back."""

    delivery: Delivery
    outcome: Outcome
    seconds: float


def settle(app: App, attempted: Sequence[Attempted]) -> Sequence[str]:
    """Writes down what came of attempts, in a transaction; why each one's channel shall be switched off, if it shall.

    One that was written down already, or whose delivery nobody waits for any more, is not written again.
    """
    channels = {channel.name: channel for channel in locked(name__in={one.delivery.channel for one in attempted})}
    verdicts = [_settle(channels.get(one.delivery.channel), one) for one in attempted]
    reach(Point.DELIVERY_WRITES)
    return verdicts


def _settle(channel: Channel | None, one: Attempted) -> str:
    delivery, outcome = one.delivery, one.outcome
    mine = Delivery.objects.filter(pk=delivery.pk, status=WAITING, attempts=delivery.attempts)
    if not mine.update(attempts=F("attempts") + 1, tries=F("tries") + 1, **_next_state(delivery, outcome)):
        return ""
    DeliveryAttempt.objects.create(
        delivery=delivery, number=delivery.attempts + 1, seconds=one.seconds, status=outcome.status,
        answer=outcome.answer, error=outcome.error,
    )  # fmt: skip
    if channel is None:
        return ""
    if not outcome.error:
        Channel.objects.filter(pk=channel.pk).update(failing_since=None, delivered_at=Now())
        return ""
    if delivery.is_test:  # says nothing about how the receiver fares otherwise
        return ""
    if channel.failing_since is None:
        Channel.objects.filter(pk=channel.pk, failing_since=None).update(failing_since=Now())
    if outcome.gone:
        return "the receiver answered 410, which means that it wants no more messages"
    if lifecycle.has_failed_too_long(channel.name):
        since, last = f"{channel.failing_since:%Y-%m-%d %H:%M} UTC", outcome.error.rstrip(".")
        return f"every attempt has failed since {since}; the last: {last}"
    return ""


def _next_state(delivery: Delivery, outcome: Outcome) -> dict[str, Any]:
    if not outcome.error:
        return {"status": DELIVERED, "next_attempt_at": None, "finished_at": Now(), "error": ""}
    wait = None if outcome.gone else wait_after(delivery.tries, outcome.retry_after)
    if wait is None:
        return {"status": FAILED, "next_attempt_at": None, "finished_at": Now(), "error": outcome.error}
    return {"next_attempt_at": Now() + timedelta(seconds=wait), "error": outcome.error}


def wait_after(tries: int, retry_after: float | None) -> float | None:
    """Seconds until the next attempt after so many others and one that has just failed; None: that was the last."""
    if tries >= len(WAITS):
        return None
    wait = WAITS[tries] * random.uniform(1.0, 1.0 + LONGER)  # noqa: S311 - spreads load, guards nothing
    return max(wait, min(retry_after or 0.0, LONGEST_ASKED))


# --- What people do -----------------------------------------------------------------------------------------------
def redeliver(app: App, delivery: Delivery, *, by: str, reason: str = "") -> Delivery:
    """Sends a message once more, with the same id, and all attempts before it.

    Raises ChannelNotActive or DeliveryWaiting.
    """
    with transaction.atomic():
        channel = lock_active(delivery.channel)
        mine = Delivery.objects.filter(pk=delivery.pk).exclude(status=WAITING)
        if not _send_again(app, channel, mine, tries=len(WAITS) if delivery.is_test else 0):
            raise DeliveryWaiting("this message is on its way already")
        _note(EventType.NOTIFICATION_REDELIVERED, by, channel, reason, delivery=str(delivery.pk), total=1)
    delivery.refresh_from_db()
    return delivery


def redeliver_failed(app: App, channel: Channel, since: datetime, *, by: str, reason: str = "") -> int:
    """Sends everything once more that has failed since then; how much that is. Raises ChannelNotActive."""
    with transaction.atomic():
        lock_active(channel.name)
        total = _send_again(app, channel, failed_since(channel, since))
        _note(EventType.NOTIFICATION_REDELIVERED, by, channel, reason, since=since.isoformat(), total=total)
    return total


def failed_since(channel: Channel, since: datetime) -> QuerySet[Delivery]:
    """What has failed of the channel since then, apart from tests."""
    return Delivery.objects.filter(channel=channel.name, status=FAILED, finished_at__gte=since, event__isnull=False)


def send_test(app: App, channel: Channel, *, by: str, reason: str = "") -> Delivery:
    """Sends a message that says it is a test; it is attempted once. Raises ChannelNotActive."""
    with transaction.atomic():
        lock_active(channel.name)
        delivery = Delivery.objects.create(
            channel=channel.name, type=messages.TEST, message=messages.of_test(app, channel.name, timezone.now()),
            tries=len(WAITS), next_attempt_at=Now(),
        )  # fmt: skip
        _due_now(app, channel)
        _note(EventType.NOTIFICATION_TESTED, by, channel, reason, delivery=str(delivery.pk))
    delivery.refresh_from_db()
    return delivery


def _send_again(app: App, channel: Channel, deliveries: QuerySet[Delivery], *, tries: int = 0) -> int:
    count = deliveries.update(status=WAITING, tries=tries, next_attempt_at=Now(), finished_at=None, error="")
    if count:
        _due_now(app, channel)
    return count


def _note(kind: EventType, by: str, channel: Channel, reason: str, **facts: Any) -> None:
    announce(NewEvent(kind, {"channel": channel.name, **facts, **({"reason": reason} if reason else {})}, by))
