"""What befalls a process that waits at an armed point, or its database, before it goes on."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.faults.scenario import Scenario
from tests.faults.server import RestartableServer
from tests.support.installation import execute


def cut(scenario: Scenario, fault: Path) -> None:
    """Every connection to the database is cut (PostgreSQL)."""
    scenario.reached(fault)
    name = scenario.installation.url.partition("?")[0].rpartition("/")[2]
    execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    (fault / "go").touch()


def crash(scenario: Scenario, fault: Path, server: RestartableServer) -> None:
    """The database server crashes, and comes back."""
    scenario.reached(fault)
    server.crash()
    (fault / "go").touch()
    server.start()


@contextmanager
def full_disk(scenario: Scenario, fault: Path) -> Iterator[int]:
    """Meanwhile there is no room for what the process writes; its pid."""
    pid = scenario.reached(fault)
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    (fault / "go").touch()
    yield pid
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
