"""Running web servers and supervisors, on either database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ops.processes import free_port, healthy
from tests.support.installation import Installation
from tests.support.starter import Forked, Starter
from tests.support.work import wait_for


@dataclass
class Running:
    process: Forked
    port: int
    log: Path
    installation: Installation

    def logged(self) -> str:
        return self.log.read_text()


@pytest.fixture
def start(installation: Installation, starter: Starter) -> Callable[..., Running]:
    """Starts `hector web` or `hector serve` and waits until it is healthy."""

    def run(command: str, *arguments: str, **env: str) -> Running:
        port, log = free_port(), installation.home / f"{command}.log"
        log.unlink(missing_ok=True)  # of an earlier start
        process = installation.fork(starter, command, "--port", str(port), *arguments, log=log, **env)
        running = Running(process, port, log, installation)
        wait_for(lambda: healthy(port) or process.poll() is not None, seconds=30, what=f"{command} is healthy")
        assert process.poll() is None, running.logged()
        return running

    return run
