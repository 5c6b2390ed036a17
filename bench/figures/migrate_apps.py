"""1,000 Apps get one more column, while a server of the version before takes tasks of one of them without a pause."""

from __future__ import annotations

import http.client
import json
import threading
import time

from django.db import models
from django.db.migrations import AddField, Migration
from django.db.migrations.loader import MigrationLoader

from apps.tenancy import lifecycle
from apps.tenancy.models import DEFAULT_APP
from apps.tenancy.tokens import issue_app_token
from bench.harness import BenchError, migrated, pause, web

APPS = 1000
DOCUMENT = {"agents": {"echo": {"type": "function", "handler": "bench.functions.echo"}}}


def measure(quick: bool) -> dict[str, float]:
    migrated(DOCUMENT)
    pause()
    number = APPS // (20 if quick else 1)
    for each in range(number):
        lifecycle.create(f"app-{each}", by="bench")
    with web() as port:
        user = User(port, issue_app_token(DEFAULT_APP))
        user.start()
        seconds = _add_column()
        user.over.set()
        user.join()
    if user.refused or not user.latencies:
        raise BenchError(f"the service was not up throughout: {user.refused[:3]}")
    return {"seconds": seconds, "per_second": number / seconds, "slowest": max(user.latencies)}


class User(threading.Thread):
    """Submits one task after another."""

    def __init__(self, port: int, token: str) -> None:
        super().__init__()
        self._port, self._headers = port, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.over = threading.Event()
        self.latencies: list[float] = []  # milliseconds
        self.refused: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not self.over.wait(0.02):
            begun = time.monotonic()
            connection.request("POST", "/tasks", json.dumps({"agent": "echo", "input": "A question."}), self._headers)
            answer = connection.getresponse()
            text = answer.read()
            self.latencies.append((time.monotonic() - begun) * 1000)
            if answer.status != 202:
                self.refused.append(f"{answer.status} {text[:200]!r}")
        connection.close()


def _add_column() -> float:
    """Seconds."""
    load = MigrationLoader.load_disk

    def with_one_more(loader: MigrationLoader) -> None:
        load(loader)

        class Added(Migration):
            dependencies = [max(node for node in loader.disk_migrations if node[0] == "tasks")]
            operations = [AddField("task", "bench", models.IntegerField(null=True))]

        loader.disk_migrations["tasks", "9999_bench"] = Added("9999_bench", "tasks")

    MigrationLoader.load_disk = with_one_more  # type: ignore[assignment]  # this process ends then
    begun = time.monotonic()
    lifecycle.migrate_all()
    return time.monotonic() - begun
