"""Approvals are the truth, their queue entries are derived: this makes them agree again (`apps.tasks.recovery`)."""

from __future__ import annotations

from apps.approvals.lifecycle import ENTRY, enqueue
from apps.approvals.models import Approval
from apps.queue import sql
from apps.tasks.recovery import BATCH, Repairs
from apps.tenancy.models import App


def repair(app: App) -> Repairs:
    """Inside the App and a transaction."""
    return Repairs(_enqueue_missing(app), _remove_orphans(app))


def _enqueue_missing(app: App) -> int:
    rows = sql.fetch(
        "SELECT id FROM approvals_approval approval WHERE due_at IS NOT NULL AND NOT EXISTS ("
        " SELECT 1 FROM queue_queueentry WHERE app_id = %s AND kind = %s AND key = approval.id) LIMIT %s",
        [app.pk, ENTRY, BATCH],
    )
    enqueue(app, list(Approval.objects.filter(pk__in=[sql.as_uuid(row[0]) for row in rows])))
    return len(rows)


def _remove_orphans(app: App) -> int:
    """Only entries that nobody holds: a worker finds out by itself when it begins."""
    return sql.execute(
        "DELETE FROM queue_queueentry WHERE app_id = %s AND kind = %s AND state <> 'leased' AND NOT EXISTS ("
        " SELECT 1 FROM approvals_approval WHERE id = queue_queueentry.key AND due_at IS NOT NULL)",
        [app.pk, ENTRY],
    )
