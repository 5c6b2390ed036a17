"""What came for webhooks, and handing it over again."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypeVar

from hector.client.calls import Call, Group, Page, Record, given, listing, operation, path
from hector.client.connection import Async, Sync

C = TypeVar("C", Sync, Async)


class WebhookDelivery(Record):
    """A request that came for an entry point, and what was made of it."""

    id: str
    entry_point: str
    received_at: datetime
    method: str
    path: str
    size: int
    verdict: str
    reason: str
    task: str | None
    repeats: int
    repeated_at: datetime | None
    redelivery_of: str | None
    by: str


class WholeWebhookDelivery(WebhookDelivery):
    content_type: str
    headers: dict[str, Any]
    query: dict[str, Any]
    body: str | None


class Webhooks(Group[C]):
    @listing("list_webhook_deliveries")
    def deliveries(
        self,
        *,
        entry_point: str | None = None,
        verdict: str | None = None,
        task: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[WebhookDelivery]]:
        """What came, the newest first."""
        query = given(entry_point=entry_point, verdict=verdict, task=task, limit=limit)
        return Call(Page[WebhookDelivery], "GET", "/webhook-deliveries", query)

    @operation("get_webhook_delivery")
    def delivery(self, id: str) -> Call[WholeWebhookDelivery]:
        return Call(WholeWebhookDelivery, "GET", path("/webhook-deliveries/{}", id))

    @operation("redeliver_webhook")
    def redeliver(self, id: str, *, reason: str | None = None) -> Call[WebhookDelivery]:
        """Hands over once more what has come, by the configuration as it is now."""
        return Call(WebhookDelivery, "POST", path("/webhook-deliveries/{}/redeliver", id), body=given(reason=reason))
