"""`POST /tasks` from 16 clients over kept-alive connections, while the workers are up and claiming is paused."""

from __future__ import annotations

import http.client
import json
import threading
import time

from apps.tasks.models import Task
from apps.tenancy.context import in_app
from apps.tenancy.tokens import issue_app_token
from bench.harness import BenchError, migrated, pause, percentile, web, workers

CLIENTS = 16
SECONDS = 10.0
DOCUMENT = {"agents": {"echo": {"type": "function", "handler": "bench.functions.echo"}}}


class Client(threading.Thread):
    """Posts one task after another until the time is over."""

    def __init__(self, port: int, token: str, seconds: float) -> None:
        super().__init__()
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._port, self._seconds = port, seconds
        self.latencies: list[float] = []  # milliseconds
        self.refused: list[str] = []

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        body = json.dumps({"agent": "echo", "input": "A question."})
        end = time.monotonic() + self._seconds
        while (begun := time.monotonic()) < end:
            connection.request("POST", "/tasks", body, self._headers)
            answer = connection.getresponse()
            text = answer.read()
            self.latencies.append((time.monotonic() - begun) * 1000)
            if answer.status != 202:
                self.refused.append(f"{answer.status} {text[:200]!r}")
        connection.close()


def measure(quick: bool) -> dict[str, float]:
    app = migrated(DOCUMENT)
    token = issue_app_token(app.name)
    pause()
    with workers(), web() as port:
        _load(port, token, 1.0)  # every process of the web server has imported and connected what it needs
        with in_app(app):
            before = Task.objects.count()
        seconds, latencies = _load(port, token, SECONDS / (5 if quick else 1))
        with in_app(app):
            accepted = Task.objects.count() - before
    if accepted != len(latencies):
        raise BenchError(f"{len(latencies)} tasks were accepted, {accepted} are there")
    return {
        "per_second": len(latencies) / seconds,
        "p50": percentile(latencies, 0.50),
        "p99": percentile(latencies, 0.99),
    }


def _load(port: int, token: str, seconds: float) -> tuple[float, list[float]]:
    clients = [Client(port, token, seconds) for _ in range(CLIENTS)]
    begun = time.monotonic()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    took = time.monotonic() - begun
    if refused := [text for client in clients for text in client.refused]:
        raise BenchError(f"{len(refused)} requests were refused, the first with {refused[0]}")
    return took, [latency for client in clients for latency in client.latencies]
