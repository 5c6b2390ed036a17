"""Creating an App as `POST /admin/apps` does, with a token and without a document: one after the other.

`migrated` is what making its schema alone takes where the migrations run, which is what the template saves.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from apps.agents.provision import create_app
from apps.tenancy import tokens
from apps.tenancy.connection import connection
from apps.tenancy.migrate import migrate_app
from bench.harness import migrated, percentile

APPS, MIGRATED = 100, 10


def measure(quick: bool) -> dict[str, float]:
    migrated()
    taken = [_milliseconds(_create, f"app-{number}") for number in range(APPS // (10 if quick else 1))]
    ran = [_milliseconds(_migrate, f"app_migrated_{number}") for number in range(MIGRATED // (5 if quick else 1))]
    return {"p50": percentile(taken, 0.50), "p95": percentile(taken, 0.95), "migrated": percentile(ran, 0.50)}


def _milliseconds(work: Callable[[str], object], name: str) -> float:
    begun = time.monotonic()
    work(name)
    return (time.monotonic() - begun) * 1000


def _create(name: str) -> None:
    create_app(name, by="bench")
    tokens.issue_app_token(name, by="bench")


def _migrate(schema: str) -> None:
    connection.schemas.create(schema)
    migrate_app(schema)
