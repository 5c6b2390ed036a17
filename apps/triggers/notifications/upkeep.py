"""What checks, repairs and prunes channels and deliveries.

A delivery waits only for an active channel, and that has an entry in the queue then. They are written in one
transaction, but SQLite commits an App's file and the shared one separately (`apps.tasks.recovery`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.queue import entries, sql
from apps.tasks.recovery import Repairs
from apps.tasks.retention import Condition, Kind, Policy
from apps.tenancy.models import App
from apps.triggers.models import Delivery
from apps.triggers.notifications.lifecycle import KIND, locked

UNQUEUED = "channel with waiting deliveries without its queue entry"
CHECKS = {
    "waiting delivery of a channel that sends nothing": """
        SELECT id FROM triggers_delivery delivery WHERE %s > 0 AND status = 'waiting' AND NOT EXISTS (
            SELECT 1 FROM triggers_channel WHERE name = delivery.channel AND enabled AND disabled_at IS NULL)""",
    UNQUEUED: """
        SELECT id FROM triggers_channel receiver
        WHERE EXISTS (SELECT 1 FROM triggers_delivery WHERE channel = receiver.name AND status = 'waiting')
        AND NOT EXISTS (
            SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = 'delivery' AND key = receiver.id)""",
}


def repair(app: App) -> Repairs:
    """Queues channels that have work and no entry; inside the App and a transaction."""
    left = sql.fetch(CHECKS[UNQUEUED], [app.pk])
    channels = locked(pk__in=[sql.as_uuid(key) for (key,) in left])
    for channel in channels:
        entries.ensure_due(app, channel.pk, kind=KIND, priority=entries.AHEAD)
    return Repairs(len(channels))


def prunable(policy: Policy, now: datetime) -> dict[Kind, Condition]:
    """The log, as long as the policy keeps it. (`delivery_finished` serves the choice.)"""
    if not policy.notifications:
        return {}
    return {Delivery: ("finished_at <= %s", [sql.dt(now - timedelta(seconds=policy.notifications))])}
