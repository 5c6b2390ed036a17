"""An installation of Hector apart from that of the test process: own home, own database, own processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from django.db import connections
from django.db.utils import ConnectionHandler

from hector_site import database
from tests.support import environment
from tests.support.starter import ROOT, Forked, Starter

TEMPLATE = f"{environment.DATABASE}_template"
TEMPLATE_FILES = environment.SCRATCH / "template"


def execute(sql: str) -> None:
    """Runs one statement on the PostgreSQL server, outside of the tests' databases."""
    assert environment.SERVER
    with psycopg.connect(environment.SERVER, autocommit=True) as server:
        server.execute(sql.encode())


def make_template() -> None:
    """Copies the database of the test process, which nobody may be connected to, for `Installation.create`."""
    if environment.SERVER:
        execute(f'CREATE DATABASE "{TEMPLATE}" TEMPLATE "{environment.DATABASE}"')
    else:
        shutil.copytree(environment.SCRATCH / "home", TEMPLATE_FILES)


def drop_template() -> None:
    if environment.SERVER:
        execute(f'DROP DATABASE IF EXISTS "{TEMPLATE}" WITH (FORCE)')


@dataclass
class Installation:
    """A migrated installation with the App `default`. `env` is the environment of its processes."""

    home: Path
    url: str
    env: dict[str, str]
    processes: list[subprocess.Popen[str] | Forked] = field(default_factory=list)

    @classmethod
    def create(cls, home: Path, number: int, *, migrated: bool = True) -> Installation:
        """`home` must not exist yet; `number` tells the installations of this process apart."""
        if environment.SERVER:
            home.mkdir(mode=0o700)
            name = f"{environment.DATABASE}_{number}"
            execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{TEMPLATE}"' if migrated else ""))
            url = environment.on_server(environment.SERVER, name)
        else:
            if migrated:
                shutil.copytree(TEMPLATE_FILES, home)
            else:
                home.mkdir(mode=0o700)
            url = f"sqlite://{home}/hector.db"
        return cls.at(home, url)

    @classmethod
    def at(cls, home: Path, url: str) -> Installation:
        """With that home and that database, which both exist."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("HECTOR_")}
        env |= environment.SECRETS | {
            "DJANGO_SETTINGS_MODULE": "hector_site.settings",
            "HECTOR_HOME": str(home),
            "HECTOR_DATABASE": url,
            "HECTOR_LOG_FORMAT": "json",
            "PYTHONWARNINGS": "ignore",
        }
        return cls(home=home, url=url, env=env)

    def start(self, *arguments: str, **popen: Any) -> subprocess.Popen[str]:
        """Starts `manage.py` with the arguments in a process group of its own, which is killed after the test."""
        env = self.env | popen.pop("env", {})
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            env=env,
            cwd=self.home,
            text=True,
            start_new_session=True,
            **popen,
        )
        self.processes.append(process)
        return process

    def fork(self, starter: Starter, *arguments: str, log: Path | None = None, **env: str) -> Forked:
        """The same in a tenth of the time, for tests that are not about the start (`tests.support.starter`)."""
        process = starter.start(arguments, env=self.env | env, cwd=self.home, stdout=log, stderr=log)
        self.processes.append(process)
        return process

    @contextmanager
    def inside(self) -> Iterator[None]:
        """The test process's own queries go to this installation's database meanwhile, which costs milliseconds."""
        before = connections["default"]
        connections["default"] = ConnectionHandler({"default": database.from_url(self.url)})["default"]
        try:
            yield
        finally:
            connections["default"].close()
            connections["default"] = before

    def python(self, code: str, *arguments: str, timeout: float = 60, **env: str) -> str:
        """Runs Python code, with Django set up, in a process of its own; its output. Another exit code than 0 fails."""
        code = f"import django; django.setup()\n{code}"
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env=self.env | {"PYTHONPATH": str(ROOT)} | env,
            cwd=self.home,
            text=True,
            capture_output=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def stop(self) -> None:
        """Kills its processes."""
        for process in self.processes:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(process, Forked):
                process.wait(10)
            else:
                process.communicate()

    def remove(self) -> None:
        self.stop()
        if environment.SERVER:
            execute(f'DROP DATABASE "{self.url.partition("?")[0].rpartition("/")[2]}" WITH (FORCE)')
