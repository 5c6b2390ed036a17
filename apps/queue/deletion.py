"""Deleting an App for good: nothing of it is claimed any more, what runs is stopped, then all of it is dropped.

The work under way gets the grace time to stop (`HECTOR_GRACE`); what has not stopped by then loses its lease. Every
step is written down before the next one begins and may be repeated: whatever process dies in between, the sweep of
another one ends the deletion.
"""

from __future__ import annotations

import time
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from apps.accounts import audit
from apps.queue import holds, sql
from apps.queue.entries import wake
from apps.queue.models import Hold
from apps.tenancy import lifecycle
from apps.tenancy.connection import PUBLIC, in_schema
from apps.tenancy.errors import AppNotFound
from apps.tenancy.models import App, Remains

log = structlog.get_logger(__name__)
LOOK = 0.05  # seconds between looks whether the work has stopped
BATCH = 5000
FORGOTTEN_AFTER = timedelta(days=90)  # hosts that were away for longer keep the directory


def delete(app: App, *, by: str, reason: str = "") -> bool:
    """Begins the deletion; True if it is done already. If something runs, a worker host ends it within the grace time.

    Raises AppProtected for `default`, AppNotFound where somebody else has begun already.
    """
    with in_schema(PUBLIC):
        with transaction.atomic():
            if not lifecycle.mark_for_deletion(app):
                raise AppNotFound(app.name)
            holds.write(app, by=by, reason=reason, cause=Hold.Cause.DELETION)
            audit.record("app_deleted", by=by, app_name=app.name, reason=reason)
        log.info("app_deletion_begun", app=app.name, by=by, reason=reason)
        if running := _stop_work(app):
            from apps.queue import cluster  # it makes what worker processes share; others have no use for that

            log.info("app_deletion_waits", app=app.name, running=running)
            cluster.soon("apps.queue.deletion.finish", app.pk)
            return False
    finish(app.pk)
    return True


def finish(app_id: int) -> None:
    """Ends a deletion that has begun: waits for what runs, as long as its grace time goes, then drops everything."""
    with in_schema(PUBLIC):
        app = App.objects.filter(pk=app_id, status=App.Status.DELETING).first()
        if app is None:
            return
        while (running := _stop_work(app)) and _seconds_left(app) > 0:
            time.sleep(LOOK)
        if running:
            log.warning("app_deletion_abandons", app=app.name, running=running)
        lifecycle.remove(app)
    log.info("app_deleted", app=app.name)


def sweep() -> int:
    """Ends the deletions that a process has left behind, and forgets old remains; how many Apps were removed."""
    left = list(App.objects.filter(status=App.Status.DELETING).values_list("pk", flat=True))
    for app_id in left:
        finish(app_id)
    Remains.objects.filter(since__lt=Now() - FORGOTTEN_AFTER).delete()
    return len(left)


def _stop_work(app: App) -> int:
    """Takes out what waits, and asks the workers to stop what runs; how much that is."""
    while sql.execute(
        f"DELETE FROM queue_queueentry WHERE id IN ("
        f" SELECT id FROM queue_queueentry WHERE app_id = %s AND state <> 'leased' LIMIT {BATCH})",
        [app.pk],
    ):
        pass
    with transaction.atomic():
        if sql.execute(
            "UPDATE queue_queueentry SET cancel = %s WHERE app_id = %s AND state = 'leased' AND cancel = %s",
            [True, app.pk, False],
        ):
            wake("cancel")
    return int(sql.fetch("SELECT COUNT(*) FROM queue_queueentry WHERE app_id = %s", [app.pk])[0][0])


def _seconds_left(app: App) -> float:
    """Of the grace time, by the database's clock; none where the hold is gone already, and so the entries are."""
    rows = sql.fetch(
        f"SELECT {sql.seconds_since('since')} FROM queue_hold WHERE app_id = %s AND cause = %s",
        [app.pk, Hold.Cause.DELETION.value],
    )
    return float(settings.HECTOR_GRACE) - float(rows[0][0]) if rows else 0.0
