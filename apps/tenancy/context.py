"""Entering an App: from here on, queries see its schema and log lines carry its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from structlog.contextvars import bound_contextvars

from apps.tenancy import lifecycle
from apps.tenancy.connection import connection, in_schema
from apps.tenancy.models import App


@contextmanager
def in_app(app: App | str) -> Iterator[App]:
    """Runs the block in the App, and goes back to where it was. `connection.tenant` is the App meanwhile.

    Raises AppNotFound, and SwitchInTransaction where it would leave another App in the middle of a transaction.
    """
    if isinstance(app, str):
        current = connection.tenant
        app = current if isinstance(current, App) and current.name == app else lifecycle.get(app)
    with in_schema(app), bound_contextvars(app=app.name):
        yield app
