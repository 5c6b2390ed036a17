"""What prunes entry points: their firings, as long as tasks are kept, and what the document named as long ago; what
came for them, as long as the log of messages."""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.queue import sql
from apps.tasks.retention import Condition, Kind, Policy
from apps.triggers.models import EntryPoint, Firing, WebhookDelivery


def prunable(policy: Policy, now: datetime) -> dict[Kind, Condition]:
    """(`webhook_delivery_at` and `firing_at` serve the choice.)"""
    kinds: dict[Kind, Condition] = {}
    if policy.notifications:
        kinds[WebhookDelivery] = ("received_at <= %s", [sql.dt(now - timedelta(seconds=policy.notifications))])
    if policy.tasks:
        old = sql.dt(now - timedelta(seconds=policy.tasks))
        kinds |= {Firing: ("at <= %s", [old]), EntryPoint: ("removed_at <= %s", [old])}
    return kinds
