"""A PostgreSQL server that a test may stop and start, and installations on it."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path

import psutil
import psycopg

from tests.support import environment, postgresql
from tests.support.installation import Installation
from tests.support.starter import Starter

TEMPLATE = "hector_template"


class RestartableServer:
    def __init__(self, path: Path, starter: Starter) -> None:
        self._server = postgresql.start(path)
        self._numbers = itertools.count(1)
        self.execute(f"CREATE DATABASE {TEMPLATE}")
        made = self._at(path / "template", TEMPLATE)
        assert made.fork(starter, "migrate").wait(60) == 0

    def execute(self, sql: str) -> None:
        with psycopg.connect(self._server.get_uri(), autocommit=True) as server:
            server.execute(sql.encode())

    def installation(self, home: Path) -> Installation:
        name = f"hector_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
        return self._at(home, name)

    def _at(self, home: Path, name: str) -> Installation:
        home.mkdir(mode=0o700)
        return Installation.at(home, environment.on_server(self._server.get_uri(), name))

    def crash(self) -> None:
        """Stops it at once, as `pg_ctl stop -m immediate` does: every connection is cut, nothing is tidied up."""
        pid = self._server.get_pid()
        assert pid is not None
        postmaster = psutil.Process(pid)
        postmaster.send_signal(signal.SIGQUIT)
        psutil.wait_procs([postmaster], timeout=20)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.cleanup()
