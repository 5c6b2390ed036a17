"""Who is told what happens, and what became of each message."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from hector.client.calls import Call, Group, Page, Record, given, listing, operation, path
from hector.client.connection import Async, Sync

C = TypeVar("C", Sync, Async)


class Channel(Record):
    name: str
    type: str
    target: str
    events: list[str]
    agents: list[str]
    include_payload: bool
    state: str
    disabled_at: datetime | None
    disabled_because: str
    failing_since: datetime | None
    delivered_at: datetime | None


class Delivery(Record):
    """A message on its way through a channel."""

    id: str
    channel: str
    type: str
    task: str | None
    status: str
    attempts: int
    next_attempt_at: datetime | None
    error: str
    created_at: datetime
    finished_at: datetime | None


class DeliveryAttempt(Record):
    number: int
    at: datetime
    seconds: float
    status: int | None
    answer: str
    error: str


class DeliveryWithLog(Delivery):
    message: dict[str, Any]
    log: list[DeliveryAttempt]


class Redelivered(Record):
    total: int


class Notifications(Group[C]):
    @listing("list_notifications")
    def list(self, *, limit: int | None = None) -> Call[Page[Channel]]:
        return Call(Page[Channel], "GET", "/notifications", given(limit=limit))

    @operation("enable_notification")
    def enable(self, name: str, *, reason: str | None = None) -> Call[Channel]:
        return Call(Channel, "POST", path("/notifications/{}/enable", name), body=given(reason=reason))

    @operation("test_notification")
    def test(self, name: str, *, reason: str | None = None) -> Call[Delivery]:
        return Call(Delivery, "POST", path("/notifications/{}/test", name), body=given(reason=reason))

    @listing("list_deliveries")
    def deliveries(
        self,
        *,
        channel: str | None = None,
        status: str | None = None,
        task: str | None = None,
        type: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[Delivery]]:
        query = given(channel=channel, status=status, task=task, type=type, limit=limit)
        return Call(Page[Delivery], "GET", "/notifications/deliveries", query)

    @operation("get_delivery")
    def delivery(self, id: str) -> Call[DeliveryWithLog]:
        return Call(DeliveryWithLog, "GET", path("/notifications/deliveries/{}", id))

    @operation("redeliver")
    def redeliver(self, id: str, *, reason: str | None = None) -> Call[Delivery]:
        """Sends one message again."""
        return Call(Delivery, "POST", path("/notifications/deliveries/{}/redeliver", id), body=given(reason=reason))

    @operation("redeliver_failed")
    def redeliver_failed(self, name: str, since: datetime, *, reason: str | None = None) -> Call[Redelivered]:
        """Sends again what the channel has failed to deliver since then."""
        body = given(since=since, reason=reason)
        return Call(Redelivered, "POST", path("/notifications/{}/redeliver", name), body=body)
