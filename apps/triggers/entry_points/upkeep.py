"""What checks, repairs and prunes entry points; what came for them is kept as long as the log of messages.

A timer that is to fire has an entry in the queue. Both are written in one transaction, but SQLite commits an App's file
and the shared one separately (`apps.tasks.recovery`).
"""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.queue import entries, sql
from apps.tasks.recovery import Repairs
from apps.tasks.retention import Condition, Kind, Policy
from apps.tenancy.models import App
from apps.triggers.entry_points import timers
from apps.triggers.entry_points.lifecycle import ACTIVE, locked
from apps.triggers.models import EntryPoint, Firing, WebhookDelivery

UNQUEUED = "timer without its queue entry"
CHECKS = {
    UNQUEUED: """
        SELECT id FROM triggers_entrypoint timer WHERE next_at IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = 'timer' AND key = timer.id)""",
    "timer that is not paused and never fires": """
        SELECT id FROM triggers_entrypoint WHERE %s > 0 AND type = 'timer' AND next_at IS NULL
        AND paused_at IS NULL AND removed_at IS NULL AND NOT EXISTS (SELECT 1 FROM triggers_timerspause)""",
}


def repair(app: App) -> Repairs:
    """Queues timers that are to fire and have no entry, and has those fire that are not to be still."""
    repaired = 0
    for query in CHECKS.values():
        left = [sql.as_uuid(key) for (key,) in sql.fetch(query, [app.pk])]
        for timer in locked(pk__in=left, type=timers.KIND, **ACTIVE) if left else ():
            if timer.next_at is None:
                timers.go_on(app, timer)
            else:
                entries.enqueue(app, [timers.entry(timer)])
            repaired += 1
    return Repairs(repaired)


def prunable(policy: Policy, now: datetime) -> dict[Kind, Condition]:
    """(`webhook_delivery_at` and `firing_at` serve the choice.)"""
    kinds: dict[Kind, Condition] = {}
    if policy.notifications:
        kinds[WebhookDelivery] = ("received_at <= %s", [sql.dt(now - timedelta(seconds=policy.notifications))])
    if policy.tasks:
        old = sql.dt(now - timedelta(seconds=policy.tasks))
        kinds |= {Firing: ("at <= %s", [old]), EntryPoint: ("removed_at <= %s", [old])}
    return kinds
