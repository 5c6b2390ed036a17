"""Scenarios, and what they share: a PostgreSQL server that may be restarted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker, Settings

from tests.faults.asking import document
from tests.faults.scenario import Scenario
from tests.faults.server import RestartableServer
from tests.support.installation import Installation
from tests.support.starter import Starter


@pytest.fixture
def scenario(
    installation: Installation, starter: Starter, django_db_blocker: DjangoDbBlocker, settings: Settings
) -> Iterator[Scenario]:
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    with django_db_blocker.unblock():
        yield Scenario(installation, starter)


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, starter: Starter, on_postgresql: bool
) -> Iterator[RestartableServer]:
    """Apart from the one that the other tests use."""
    if not on_postgresql:
        pytest.skip("SQLite has no server that could be restarted")
    made = RestartableServer(tmp_path_factory.mktemp("server"), starter)
    yield made
    made.stop()


@pytest.fixture
def scenario_on_server(
    server: RestartableServer, tmp_path: Path, starter: Starter, django_db_blocker: DjangoDbBlocker, settings: Settings
) -> Iterator[Scenario]:
    """Like `scenario`, on the server that may be restarted."""
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    with django_db_blocker.unblock():
        installation = server.installation(tmp_path / "installation")
        yield Scenario(installation, starter)
        installation.stop()


@pytest.fixture
def policy() -> dict[str, Any]:
    """By which `asking` asks about calls."""
    return {}


@pytest.fixture
def asking(
    policy: dict[str, Any],
    installation: Installation,
    starter: Starter,
    django_db_blocker: DjangoDbBlocker,
    settings: Settings,
) -> Iterator[Scenario]:
    """A task that asks people (`tests.faults.asking`)."""
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    with django_db_blocker.unblock():
        yield Scenario(installation, starter, document(policy))


@pytest.fixture
def asking_on_server(
    policy: dict[str, Any],
    server: RestartableServer,
    tmp_path: Path,
    starter: Starter,
    django_db_blocker: DjangoDbBlocker,
    settings: Settings,
) -> Iterator[Scenario]:
    """The same, on the server that may be restarted."""
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    with django_db_blocker.unblock():
        installation = server.installation(tmp_path / "installation")
        yield Scenario(installation, starter, document(policy))
        installation.stop()
