"""From a request that was let in to a firing of its entry point, once; and handing one over again.

All is called inside the App. What is refused at the door is written down, too, but no more than `REFUSALS` of an entry
point in a minute by one process: whoever has no secret fills no database.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db import IntegrityError, transaction
from django.db.models import F
from django.db.models.functions import Now

from apps.queue.faults import Point, reach
from apps.tasks.events import EventType, NewEvent, announce
from apps.tenancy.models import App
from apps.triggers.entry_points import lifecycle
from apps.triggers.entry_points.firing import fire
from apps.triggers.errors import EntryPointGone, NotRedeliverable
from apps.triggers.models import EntryPoint, Firing, WebhookDelivery
from apps.triggers.starters.webhook import NAME, WebhookSpec
from apps.triggers.webhooks import routing
from apps.triggers.webhooks.arrivals import Arrival, Unreadable, as_key
from apps.triggers.webhooks.routing import Route
from apps.triggers.webhooks.signatures import Headers

log = structlog.get_logger(__name__)
Verdict = WebhookDelivery.Verdict
REFUSALS = 30
_AT_THE_DOOR = (Verdict.UNVERIFIED, Verdict.UNREADABLE, Verdict.HANDSHAKE)  # nothing that could be handed over


@dataclass(frozen=True)
class Received:
    delivery: WebhookDelivery
    repeated: bool = False  # it has come before, and this is what was made of it then


def receive(app: App, route: Route, arrival: Arrival, headers: Headers, digest: bytes | None) -> Received:
    """Hands a request over that was let in. After this no crash loses it. Raises Unreadable.

    `headers` are as they came, `digest` is that of its signature, if it has one.
    """
    data = arrival.data(route.parameters)
    key = _key(route.spec, headers, data["body"], digest)
    try:
        with transaction.atomic():
            delivery = _handed_over(app, route.entry_point, arrival, data, key=key)
            reach(Point.WEBHOOK_WRITES)
    except IntegrityError:  # the same has come before
        if (first := _first(route.entry_point, key)) is None:
            raise
        return _repeated(first)
    reach(Point.WEBHOOK_WRITTEN)
    return Received(delivery)


def redeliver(app: App, delivery: WebhookDelivery, *, by: str, reason: str = "") -> WebhookDelivery:
    """Hands over once more what has come, by the configuration as it is now, also where that is paused.

    Raises EntryPointGone or NotRedeliverable.
    """
    with transaction.atomic():
        [entry_point] = lifecycle.locked(pk=delivery.entry_point_id)
        if entry_point.removed_at is not None or entry_point.type != NAME:
            raise EntryPointGone(f"the configuration has no webhook {entry_point.name!r} any more")
        if refused := why_not_redeliverable(delivery):
            raise NotRedeliverable(refused)
        arrival = Arrival.of_delivery(delivery)
        parameters = routing.match(routing.trigger_of(entry_point).path, delivery.path)
        if parameters is None:
            raise NotRedeliverable(f"{entry_point.name!r} has another path now, which {delivery.path} does not fit")
        try:
            data = arrival.data(parameters)
        except Unreadable as error:
            raise NotRedeliverable(str(error)) from None
        again = _handed_over(app, entry_point, arrival, data, by=by, redelivery_of=delivery.pk)
        facts = {"entry_point": entry_point.name, "delivery": str(delivery.pk), "redelivery": str(again.pk)}
        announce(NewEvent(EventType.WEBHOOK_REDELIVERED, {**facts, **({"reason": reason} if reason else {})}, by))
    return again


def why_not_redeliverable(delivery: WebhookDelivery) -> str:
    """Why what has come cannot be handed over; empty: it can."""
    if delivery.verdict == Verdict.UNVERIFIED:
        return "nothing shows who sent it"
    return "there is nothing in it to be handed over" if delivery.verdict in _AT_THE_DOOR else ""


def refuse(entry_point: EntryPoint, arrival: Arrival, verdict: str, reason: str) -> None:
    """Writes down what is not handed over; of what nobody has signed, not what it holds."""
    log.info("webhook_refused", entry_point=entry_point.name, verdict=verdict, reason=reason)
    if not _refusals.counts(entry_point.pk):
        return
    body = None if verdict == Verdict.UNVERIFIED else arrival.body
    _delivery(entry_point, arrival, verdict=verdict, reason=reason, body=body).save(force_insert=True)


def _handed_over(
    app: App,
    entry_point: EntryPoint,
    arrival: Arrival,
    data: dict[str, Any],
    *,
    key: str | None = None,
    by: str = "",
    redelivery_of: UUID | None = None,
) -> WebhookDelivery:
    """Inside a transaction."""
    firing = fire(app, entry_point, cause=Firing.Cause.WEBHOOK, data=data, key=key, by=by)
    delivery = _delivery(
        entry_point, arrival, verdict=firing.outcome, reason=firing.reason, firing=firing.pk, task=firing.task, by=by,
        body=arrival.body, key=key, redelivery_of=redelivery_of,
    )  # fmt: skip
    delivery.save(force_insert=True)
    return delivery


def _delivery(entry_point: EntryPoint, arrival: Arrival, **values: Any) -> WebhookDelivery:
    return WebhookDelivery(
        entry_point=entry_point, method=arrival.method, path=arrival.path, query=dict(arrival.query),
        headers=dict(arrival.headers), content_type=arrival.content_type[:200], size=len(arrival.body), **values,
    )  # fmt: skip


def _key(spec: WebhookSpec, headers: Headers, body: Any, digest: bytes | None) -> str | None:
    """What is the same when a delivery comes again; None: nothing is."""
    form, header = spec.form, spec.unique_by
    signed = None if digest is None else f"signature:{digest.hex()}"
    if header.lower() == "signature":
        return signed
    header = header or (form.id_header if form else "")
    if header and (id := headers.get(header)):
        return as_key(id)
    if form and form.id_field and not spec.unique_by and isinstance(body, dict):
        id = body.get(form.id_field)
        return as_key(id) if isinstance(id, str) and id else signed
    return signed


def _first(entry_point: EntryPoint, key: str | None) -> WebhookDelivery | None:
    return None if key is None else WebhookDelivery.objects.filter(entry_point=entry_point, key=key).first()


def _repeated(first: WebhookDelivery) -> Received:
    WebhookDelivery.objects.filter(pk=first.pk).update(repeats=F("repeats") + 1, repeated_at=Now())
    return Received(first, repeated=True)


class _Refusals:
    """How many of each entry point this process has written down in the present minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._minute, self._counts = 0, dict[UUID, int]()

    def counts(self, entry_point: UUID) -> bool:
        """Whether one more may be."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._counts = minute, {}
        self._counts[entry_point] = self._counts.get(entry_point, 0) + 1
        return self._counts[entry_point] <= REFUSALS


_refusals = _Refusals()
