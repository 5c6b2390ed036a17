"""Entering an App: from here on, queries see its schema and log lines carry its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection
from structlog.contextvars import bound_contextvars

from apps.tenancy import lifecycle
from apps.tenancy.models import App


@contextmanager
def in_app(app: App | str) -> Iterator[App]:
    """Runs the block in the App, and goes back to where it was. `connection.tenant` is the App meanwhile.

    Raises AppNotFound, and SwitchInTransaction where it would leave another App in the middle of a transaction.
    """
    before, before_public = connection.tenant, connection.include_public_schema
    if isinstance(app, str):
        app = before if isinstance(before, App) and before.name == app else lifecycle.get(app)
    connection.set_tenant(app)
    try:
        with bound_contextvars(app=app.name):
            yield app
    finally:
        connection.set_tenant(before, before_public)
