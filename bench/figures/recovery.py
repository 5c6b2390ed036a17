"""From the kill -9 of a worker process to the second start of the task that it ran."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from apps.tasks import lifecycle
from apps.tasks.lifecycle import NewTask
from apps.tenancy.context import in_app
from bench.functions import STARTS
from bench.harness import migrated, percentile, until, workers
from hector_site.home import home

KILLS = 10
DOCUMENT = {
    "version": "2",
    "name": "bench",
    "agents": {"long": {"type": "function", "handler": "bench.functions.start_twice"}},
}


def measure(quick: bool) -> dict[str, float]:
    app = migrated(DOCUMENT)
    log = home() / STARTS
    seconds = []
    with workers():
        for number in range(3 if quick else KILLS):
            with in_app(app):
                lifecycle.submit(app, NewTask("long", "go"), by="bench")
            _await_start(log, 2 * number + 1)
            _, pid = _starts(log)[-1]
            killed = time.time_ns()
            os.kill(pid, signal.SIGKILL)
            _await_start(log, 2 * number + 2)
            seconds.append((_starts(log)[-1][0] - killed) / 1e9)
    return {"p50": percentile(seconds, 0.5), "most": max(seconds)}


def _await_start(log: Path, number: int) -> None:
    until(lambda: len(_starts(log)) == number, f"start {number} of a task", patience=30)


def _starts(log: Path) -> list[tuple[int, int]]:
    """Each start: when, in nanoseconds, and in which process."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [(int(instant), int(pid)) for instant, pid in (line.split() for line in lines)]
