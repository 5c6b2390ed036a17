"""Which tests run on which database.

A test says nothing about it and runs on both, but:

- One that asks for no database gives the same answer on either: it runs on SQLite only. What could make a difference
  is a fixture (`ON_A_DATABASE`); without one, pytest-django lets no test at a database.
- One that is marked `sampled(ENGINE, …)` shows the same on both engines, or takes seconds and is one of many that show
  much the same. `make test`, which is to be run before every push, runs it on these engines, or if it names none, not
  at all; with `--whole`, as in `make test-faults`, it runs on both. The console's pages are all `sampled("sqlite")`.

A test that is named (`path::test`) runs in any case.
"""

from __future__ import annotations

import pytest

from tests.support import environment

ENGINE = "postgresql" if environment.SERVER else "sqlite"
ON_A_DATABASE = {"_django_db_helper", "django_db_setup", "empty_installation", "on_postgresql"}
STARTS_PROCESSES = {"installation", "shared_installation", "empty_installation"}


def select(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes out of `items` what does not run here, and puts first what takes long, so that all end together."""
    if not any("::" in argument for argument in config.args):
        left_out = [item for item in items if not _runs(item, whole=config.getoption("whole"))]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: (not _starts_processes(item), not _is_sampled(item)))


def _runs(item: pytest.Item, *, whole: bool) -> bool:
    sampled = item.get_closest_marker("sampled")
    if sampled and not whole:
        return ENGINE in sampled.args
    return ENGINE == "sqlite" or _on_a_database(item)


def _fixtures(item: pytest.Item) -> set[str]:
    return set(getattr(item, "fixturenames", ()))


def _on_a_database(item: pytest.Item) -> bool:
    return item.get_closest_marker("django_db") is not None or bool(_fixtures(item) & ON_A_DATABASE)


def _starts_processes(item: pytest.Item) -> bool:
    return bool(_fixtures(item) & STARTS_PROCESSES)


def _is_sampled(item: pytest.Item) -> bool:
    return item.get_closest_marker("sampled") is not None
