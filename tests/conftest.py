"""Fixtures for every test. Which database they run on: `tests.support.environment`; and which of them:
`tests.support.selection`.

- `db` or `@pytest.mark.django_db`: the shared schema, rolled back afterwards.
- `app`: inside the App `acme`, rolled back. An App cannot be left inside a transaction, so a test that enters
  another one, or that others must see the rows of, asks for `transactional_db` too (or `transaction=True`).
- `transactional_db`: commits; deleted again afterwards (slower, but still some milliseconds).
- `installation`: an installation apart, for tests that start processes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.support import environment, selection
from tests.support.installation import Installation
from tests.support.starter import Starter

_numbers = itertools.count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--whole", action="store_true", help="run what is marked as sampled on either database")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    selection.select(config, items)


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    from tests.support import database

    with django_db_blocker.unblock():
        database.setup()
        yield
        database.teardown()


@pytest.fixture
def _django_db_helper(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """What pytest-django's `db`, `transactional_db`, `live_server` and `django_db` all come down to, with Apps."""
    from apps.tenancy.context import in_app
    from tests.support import database

    marker = request.node.get_closest_marker("django_db")
    commits = bool(marker and marker.kwargs.get("transaction")) or bool(
        {"transactional_db", "live_server"} & set(request.fixturenames)
    )
    with django_db_blocker.unblock():
        try:
            with (
                in_app("acme") if "app" in request.fixturenames else nullcontext(),
                nullcontext() if commits else database.rolled_back(),
            ):
                yield
        finally:
            if commits:
                database.restore()


@pytest.fixture
def app(_django_db_helper: None):  # type: ignore[no-untyped-def]
    """The App `acme`; the test runs inside it."""
    from apps.tenancy import lifecycle

    return lifecycle.get("acme")


@pytest.fixture
def other_app(_django_db_helper: None):  # type: ignore[no-untyped-def]
    """The App `globex`, which the test is not inside."""
    from apps.tenancy import lifecycle

    return lifecycle.get("globex")


@pytest.fixture(scope="session")
def on_postgresql() -> bool:
    return environment.SERVER is not None


@pytest.fixture
def installation(tmp_path: Path, django_db_setup: None) -> Iterator[Installation]:
    """A migrated installation of its own; it has the App `default` only."""
    made = Installation.create(tmp_path / "installation", next(_numbers))
    yield made
    made.remove()


@pytest.fixture(scope="module")
def shared_installation(tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Installation]:
    """One for all tests of a module, where what they start takes long."""
    made = Installation.create(tmp_path_factory.mktemp("shared") / "installation", next(_numbers))
    yield made
    made.remove()


@pytest.fixture
def empty_installation(tmp_path: Path) -> Iterator[Installation]:
    """An installation that has never been started: no migration has run."""
    made = Installation.create(tmp_path / "installation", next(_numbers), migrated=False)
    yield made
    made.remove()


@pytest.fixture(scope="session")
def starter() -> Iterator[Starter]:
    """Forks `hector` commands, for those whose start a test is not about."""
    made = Starter()
    yield made
    made.stop()
