"""What a measurement does inside its installation: bring it up, run Hector's processes, wait for what happens."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from django.db import connection
from django.db.models import AutoField, Model

from apps.agents.config.apply import apply
from apps.queue import entries
from apps.queue.models import QueueControl, Worker
from apps.tenancy import lifecycle
from apps.tenancy.models import DEFAULT_APP, App
from hector_site.home import home
from hector_site.orphans import PARENT

PATIENCE = 300.0  # seconds
LOOK = 0.01
GRACE = 40.0  # seconds in which a process must have stopped; Hector's own grace time is 30


class BenchError(Exception):
    """A measurement could not be made, or what was measured did not do its work."""


def migrated(document: dict[str, Any] | None = None) -> App:
    """Brings the installation up, and puts a document in force for its App `default`."""
    lifecycle.migrate_all()
    app = lifecycle.get(DEFAULT_APP)
    if document:
        apply(app, document, by="bench")
    return app


def pause() -> None:
    QueueControl.objects.update(paused=True)


def resume() -> None:
    QueueControl.objects.update(paused=False)
    entries.wake()


def tidy() -> None:
    """Does what PostgreSQL would do by itself some time after a bulk load, so that it does not happen meanwhile."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
            cursor.execute("CHECKPOINT")


def counted(name: str) -> str:
    """The SQL of a WITH clause: a table of that name whose `n` runs from 1 to the statement's next parameter."""
    if connection.vendor == "postgresql":
        return f"WITH {name} (n) AS (SELECT generate_series(1, %s))"
    return f"WITH RECURSIVE {name} (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM {name} WHERE n < %s)"


def copying(model: type[Model], changed: Mapping[str, str]) -> str:
    """The SQL that a statement begins with to copy rows of a table that it calls `pattern`, some columns changed."""
    columns = [str(field.column) for field in model._meta.concrete_fields if not isinstance(field, AutoField)]
    values = ", ".join(changed.get(column, f"pattern.{column}") for column in columns)
    return f"INSERT INTO {model._meta.db_table} ({', '.join(columns)}) SELECT {values}"


def until(condition: Callable[[], bool], what: str, *, patience: float = PATIENCE, look: float = LOOK) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {patience:g} s")
        time.sleep(look)


def seconds_to_drain(drained: Callable[[], bool]) -> float:
    """Lets the workers claim; the time until the condition holds, looked at every 10 ms."""
    begun = time.monotonic()
    resume()
    until(drained, "the queue is drained")
    return time.monotonic() - begun


@contextmanager
def process(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `hector` with the arguments, in a process group of its own that is gone afterwards."""
    with Path(os.environ["HECTOR_BENCH_LOG"]).open("ab") as log:
        running = subprocess.Popen(
            [sys.executable, "-m", "hector_site", *arguments],
            env=os.environ | environment,
            cwd=home(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield running
        finally:
            running.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                running.wait(GRACE)
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def tied() -> dict[str, str]:
    """Ends a Hector process with this one, however that ends; it takes the installation to be migrated."""
    return {PARENT: str(os.getpid())}


@contextmanager
def workers(*, beside: int = 0, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """A cluster whose worker processes are all on shift; `beside`: so many of others are, too."""
    wanted = int(environment.get("HECTOR_QUEUE_WORKERS") or os.environ.get("HECTOR_QUEUE_WORKERS") or 4)
    with process("worker", **tied(), **environment) as running:
        on_shift = Worker.objects.filter(stopped_at=None)
        until(
            lambda: _running(running) and on_shift.count() == wanted + beside, "all workers are on shift", patience=30
        )
        yield running


@contextmanager
def web() -> Iterator[int]:
    """A web server that is ready; its port."""
    port = free_port()
    with process("web", "--port", str(port), **tied()) as running:
        until(lambda: _running(running) and healthy(port), "the web server is healthy", patience=30)
        yield port


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def healthy(port: int) -> bool:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", "/health")
        answer = client.getresponse()
        return answer.status == 200 and json.load(answer)["status"] == "ok"
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


def _running(running: subprocess.Popen[bytes]) -> bool:
    if running.poll() is not None:
        raise BenchError(f"{running.args!r} ended with {running.returncode}")
    return True


def pss(root: int) -> float:
    """The memory of a process and its descendants in MB: what is shared counts once (proportional set size)."""
    parent = psutil.Process(root)
    total = 0
    for member in [parent, *parent.children(recursive=True)]:
        with suppress(OSError):  # it ended meanwhile
            for line in Path(f"/proc/{member.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least that share of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]
