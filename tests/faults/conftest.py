"""What the scenarios share: the starter of processes, and a PostgreSQL server that may be restarted."""

from __future__ import annotations

from collections.abc import Iterator


import pytest
from pytest_django import DjangoDbBlocker, Settings

from tests.faults.scenario import Scenario
from tests.faults.starter import Starter
from tests.support.installation import Installation


@pytest.fixture(scope="session")
def starter() -> Iterator[Starter]:
    made = Starter()
    yield made
    made.stop()


@pytest.fixture
def scenario(
    installation: Installation, starter: Starter, django_db_blocker: DjangoDbBlocker, settings: Settings
) -> Iterator[Scenario]:
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    with django_db_blocker.unblock():
        made = Scenario(installation, starter)
        yield made
        made.stop()


