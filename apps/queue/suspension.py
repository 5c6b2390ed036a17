"""Suspending an App, and letting it go on: nothing of it is claimed meanwhile, and its API answers 403.

What runs goes on to its end; what waits is parked by a hold beside any pause that the App may have, and goes on in its
order and without a burst (`apps.queue.holds`). Whatever starts work by itself has to ask for `App.status`.
"""

from __future__ import annotations

import structlog
from django.db import transaction

from apps.accounts import audit
from apps.queue import holds
from apps.queue.holds import Effect
from apps.queue.models import Hold
from apps.tenancy.errors import AppNotFound
from apps.tenancy.models import App

log = structlog.get_logger(__name__)
_CAUSE = Hold.Cause.SUSPENSION


def of(app: App) -> Hold | None:
    """Who has suspended the App, since when and why."""
    return Hold.objects.filter(app=app, cause=_CAUSE).first()


def suspend(app: App, *, by: str, reason: str = "") -> Effect:
    """active -> suspended; what that leaves running and waiting. A second suspension changes the reason.

    Raises AppNotFound if the App is being deleted.
    """
    with transaction.atomic():
        _become(app, App.Status.SUSPENDED, App.Status.ACTIVE)
        holds.write(app, by=by, reason=reason, cause=_CAUSE)
        audit.record("app_suspended", by=by, app_name=app.name, reason=reason)
    log.info("app_suspended", app=app.name, by=by, reason=reason)
    holds.park(app)
    return holds.effect(app)


def resume(app: App, *, by: str, reason: str = "") -> Effect:
    """suspended -> active; nothing happens to an App that is active. Raises AppNotFound if it is being deleted."""
    with transaction.atomic():
        if resumed := _become(app, App.Status.ACTIVE, App.Status.SUSPENDED):
            holds.erase(app, cause=_CAUSE)
            audit.record("app_resumed", by=by, app_name=app.name, reason=reason)
    if resumed:
        log.info("app_resumed", app=app.name, by=by, reason=reason)
        holds.unpark(app.pk)
    return holds.effect(app)


def _become(app: App, status: App.Status, origin: App.Status) -> bool:
    """Whether it was in `origin`; in `status` it stays. The object knows its new status."""
    moved = App.objects.filter(pk=app.pk, status=origin).update(status=status)
    if not moved and not App.objects.filter(pk=app.pk, status=status).exists():
        raise AppNotFound(app.name)
    app.status = status
    return bool(moved)
