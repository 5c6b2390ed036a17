"""`POST /tasks` from 16 clients over kept-alive connections, while the workers are up and claiming is paused."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable

from apps.tasks.models import Task
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from apps.tenancy.tokens import issue_app_token
from bench.harness import BenchError, migrated, pause, percentile, web, workers

CLIENTS = 16
SECONDS = 10.0
DOCUMENT = {"agents": {"echo": {"type": "function", "handler": "bench.functions.echo"}}}


Ask = Callable[[], tuple[str, bytes, dict[str, str]]]  # makes a request: its path, body and headers


class Client(threading.Thread):
    """Posts one request after another until the time is over."""

    def __init__(self, port: int, ask: Ask, seconds: float) -> None:
        super().__init__()
        self._port, self._ask, self._seconds = port, ask, seconds
        self.latencies: list[float] = []  # milliseconds
        self.refused: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        end = time.monotonic() + self._seconds
        while (begun := time.monotonic()) < end:
            path, body, headers = self._ask()
            connection.request("POST", path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            text = answer.read()
            self.latencies.append((time.monotonic() - begun) * 1000)
            if answer.status != 202:
                self.refused.append(f"{answer.status} {text[:200]!r}")
        connection.close()


def measure(quick: bool) -> dict[str, float]:
    app = migrated(DOCUMENT)
    body, headers = json.dumps({"agent": "echo", "input": "A question."}).encode(), bearer(app)

    def ask() -> tuple[str, bytes, dict[str, str]]:
        return "/tasks", body, headers

    pause()
    with workers(), web() as port:
        load(port, ask, CLIENTS, 1.0)  # every process of the web server has imported and connected what it needs
        with in_app(app):
            before = Task.objects.count()
        seconds, latencies = load(port, ask, CLIENTS, SECONDS / (5 if quick else 1))
        with in_app(app):
            accepted = Task.objects.count() - before
    if accepted != len(latencies):
        raise BenchError(f"{len(latencies)} tasks were accepted, {accepted} are there")
    return {
        "per_second": len(latencies) / seconds,
        "p50": percentile(latencies, 0.50),
        "p99": percentile(latencies, 0.99),
    }


def bearer(app: App) -> dict[str, str]:
    return {"Authorization": f"Bearer {issue_app_token(app.name)}"}


def load(port: int, ask: Ask, number: int, seconds: float) -> tuple[float, list[float]]:
    """So many clients for so long; how long that really was, and the milliseconds until each answer."""
    clients = [Client(port, ask, seconds) for _ in range(number)]
    begun = time.monotonic()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    took = time.monotonic() - begun
    if refused := [text for client in clients for text in client.refused]:
        raise BenchError(f"{len(refused)} requests were refused, the first with {refused[0]}")
    return took, [latency for client in clients for latency in client.latencies]
