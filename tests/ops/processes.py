"""Real `hector` processes: addresses for them, questions to them, and what is left of them."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from tests.support import environment
from tests.support.installation import Installation, execute


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def get(port: int, path: str = "/health", **headers: str) -> tuple[int, Any]:
    """Status and JSON; status 0 while nobody answers."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, None


def healthy(port: int) -> bool:
    return get(port)[0] == 200


def family(pid: int) -> list[psutil.Process]:
    """The processes that this one has started, and theirs."""
    return psutil.Process(pid).children(recursive=True)


def alive(process: psutil.Process) -> bool:
    """A zombie is as good as gone: it waits for a parent that the test does not control."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def child(pid: int, name: str) -> psutil.Process:
    """The direct child of `hector serve` that runs this command."""
    return next(found for found in psutil.Process(pid).children() if found.cmdline()[-1] == name)


@contextmanager
def database_away(installation: Installation) -> Iterator[None]:
    """On PostgreSQL the server takes no connection to the database; on SQLite the file is elsewhere."""
    if environment.SERVER:
        name = installation.url.partition("?")[0].rpartition("/")[2]
        execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        yield
        execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    else:
        file, away = installation.home / "hector.db", installation.home / "away.db"
        file.rename(away)
        yield
        away.rename(file)
