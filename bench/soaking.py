"""The soak itself, inside its installation (see `bench.soak`): what is done to the processes and their tasks."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from django.db import Error as DatabaseError
from django.db import connection

from apps.queue.models import Worker
from apps.tasks import integrity, lifecycle
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Attempt, Task, TaskStatus
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from bench.functions import RAN
from bench.harness import BenchError, migrated, process, tied, until

STALE = 3.0  # seconds
WAITING = 60  # tasks that are kept under way
PAUSE = (0.2, 1.6)  # seconds between two kills
PATIENCE = 180.0  # seconds in which everything must have come to rest in the end
RETRY = {"max_retries": 1000, "initial_delay": "50ms", "max_delay": "500ms"}  # no kill is a task's own fault
SCRIPT: list[dict[str, Any]] = [
    {"calls": [{"tool": "look_up", "arguments": {}}]},
    {"calls": [{"tool": "charge", "arguments": {}}], "delay": "100ms"},
    {"error": {"status": 429}},
    {"text": "All done.", "delay": "200ms"},
]
DOCUMENT: dict[str, Any] = {
    "version": "2",
    "name": "soak",
    "llms": {"main": {"provider": "scripted", "script": SCRIPT}},
    "tools": {
        "look_up": {"type": "function", "handler": "bench.functions.look_up", "idempotent": True},
        "charge": {"type": "function", "handler": "bench.functions.charge"},
    },
    "agents": {
        "careful": {"type": "llm", "llm": "main", "tools": ["look_up", "charge"], "retry": RETRY},
        "quick": {"type": "function", "handler": "bench.functions.echo", "retry": RETRY},
        "slow": {"type": "function", "handler": "bench.functions.wait", "retry": RETRY},
    },
}
AGENTS = ("careful", "careful", "quick", "slow")
LIVE = (TaskStatus.PENDING, TaskStatus.RUNNING)


@dataclass
class Chaos:
    """Hits processes of the two hosts, never their first two, which a supervisor would have to replace."""

    dice: random.Random
    hosts: list[subprocess.Popen[bytes]]
    kills: Counter[str] = field(default_factory=Counter)
    frozen: list[tuple[float, psutil.Process]] = field(default_factory=list)  # each with when it is to wake

    def strike(self) -> None:
        kinds = ["kill -9", "kill -9", "SIGTERM", "SIGSTOP", "connection cut"]
        kind = self.dice.choice(kinds if connection.vendor == "postgresql" else kinds[:-1])
        if kind == "connection cut":
            self._cut()
        else:
            victim = self.dice.choice(self._processes())
            with suppress(psutil.NoSuchProcess):
                if kind == "kill -9":
                    victim.kill()
                elif kind == "SIGTERM":
                    victim.terminate()
                else:
                    victim.suspend()
                    self.frozen.append((time.monotonic() + self.dice.uniform(0.2, 3 * STALE), victim))
        self.kills[kind] += 1

    def _processes(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        while not found:
            for host in self.hosts:
                with suppress(psutil.NoSuchProcess):
                    for sentinel in psutil.Process(host.pid).children():
                        found += sentinel.children()
        return sorted(found, key=lambda process: process.pid)

    def _cut(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            pids = sorted(row[0] for row in cursor.fetchall())
            cursor.execute("SELECT pg_terminate_backend(%s)", [self.dice.choice(pids)])

    def wake(self, *, all_of_them: bool = False) -> None:
        now = time.monotonic()
        for due, victim in [entry for entry in self.frozen if all_of_them or entry[0] <= now]:
            with suppress(psutil.NoSuchProcess):
                victim.resume()
            self.frozen.remove((due, victim))


def soak(seconds: float, seed: int, kills: int) -> dict[str, Any]:
    """What was done, and what became of the tasks."""
    Path(os.environ["HECTOR_HOME"]).mkdir(parents=True, exist_ok=True)
    app = migrated(DOCUMENT)
    settings = {"HECTOR_QUEUE_WORKERS": "2", "HECTOR_QUEUE_STALE_THRESHOLD": f"{STALE:g}s", "HECTOR_SLOTS": "8"}
    with ExitStack() as stack:
        hosts = [
            stack.enter_context(process("worker", **tied(), **settings, HECTOR_HOST_NAME=name))
            for name in ("one", "two")
        ]
        until(lambda: Worker.objects.filter(stopped_at=None).count() == 4, "all workers are on shift", patience=60)
        chaos = Chaos(random.Random(seed), hosts)
        begun = time.monotonic()
        _soak(app, chaos, begun + seconds, kills)
        chaos.wake(all_of_them=True)
        with suppress(BenchError):
            until(lambda: _at_rest(app), "all tasks rest", patience=PATIENCE, look=0.2)
        return _report(app) | {"kills": chaos.kills, "seconds": time.monotonic() - begun}


def _soak(app: App, chaos: Chaos, end: float, kills: int) -> None:
    work = random.Random(0)  # apart from the dice of the chaos: what is hit when depends on the seed alone
    due = 0.0
    while time.monotonic() < end and chaos.kills.total() < kills:
        chaos.wake()
        with suppress(DatabaseError):  # SQLite: a frozen process may hold the write lock
            _keep_busy(app, work)
        if time.monotonic() >= due:
            chaos.strike()
            due = time.monotonic() + chaos.dice.uniform(*PAUSE)
        time.sleep(0.05)


def _keep_busy(app: App, dice: random.Random) -> None:
    with in_app(app):
        missing = WAITING - Task.objects.filter(status__in=LIVE).count()
        if missing > 0:
            lifecycle.submit_many(app, [NewTask(dice.choice(AGENTS), "go") for _ in range(missing)], by="soak")


def _at_rest(app: App) -> bool:
    with in_app(app):
        return not Task.objects.filter(status__in=LIVE).exists() and not integrity.complaints(app)


def _report(app: App) -> dict[str, Any]:
    charges = Counter(Path(os.environ["HECTOR_HOME"], RAN).read_text().split())
    with in_app(app):
        tasks = dict(Task.objects.values_list("pk", "status"))
        rest = (TaskStatus.COMPLETED, TaskStatus.INPUT_REQUIRED)
        charged = set(map(str, Task.objects.filter(agent="careful", status="completed").values_list("pk", flat=True)))
        return {
            "tasks": len(tasks),
            "completed": sum(status == TaskStatus.COMPLETED for status in tasks.values()),
            "in_doubt": sum(status == TaskStatus.INPUT_REQUIRED for status in tasks.values()),
            "crashed_attempts": Attempt.objects.filter(outcome="crashed").count(),
            "lost": [f"{task} is {status}" for task, status in tasks.items() if status not in rest]
            + [f"{task} is completed and was not charged" for task in charged - set(charges)],
            "silent_double_runs": [f"{task} was charged {count} times" for task, count in charges.items() if count > 1],
            "complaints": integrity.complaints(app),
        }
