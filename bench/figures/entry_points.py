"""What starts work by itself: signed requests of other programs, events of the App, and the clock."""

from __future__ import annotations

import hmac
import itertools
import json
import random
import time
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from apps.queue import sql
from apps.queue.models import QueueEntry
from apps.tasks.events import publish
from apps.tasks.models import Task
from apps.tenancy import secrets
from apps.tenancy.context import in_app
from apps.triggers.models import EntryPoint, Firing
from bench.figures.pick_up import PAUSES
from bench.figures.post import load
from bench.figures.tasks import check_completed
from bench.harness import BenchError, migrated, percentile, until, web, workers

CLIENTS, SECONDS, EVENTS, TIMERS = 50, 10.0, 300, 1000
HOUR = timedelta(hours=1)
KEY = "a key for webhooks"
DOCUMENT: dict[str, Any] = {
    "agents": {
        "echo": {"type": "function", "handler": "bench.functions.echo"},
        "clock": {"type": "function", "handler": "bench.functions.clock"},
    },
    "entry_points": {
        "hook": {
            "agent": "echo",
            "trigger": {"type": "webhook", "path": "/hook", "secret": "${secret:HOOK}", "signature": "github"},
            "input": {"text": "{{ body.n }}"},
        },
        "after": {"agent": "clock", "trigger": {"type": "event", "event_types": ["custom.tick"]}, "input": "now"},
    },
}


def webhooks(quick: bool) -> dict[str, float]:
    """50 clients at once over kept-alive connections, each request another one; the workers run what comes of it."""
    app = migrated(DOCUMENT)
    secrets.put(app, "HOOK", KEY)
    numbers = itertools.count()

    def ask() -> tuple[str, bytes, dict[str, str]]:
        body = json.dumps({"n": next(numbers)}).encode()
        signature = hmac.digest(KEY.encode(), body, "sha256").hex()
        return f"/webhooks/{app.name}/hook", body, {"X-Hub-Signature-256": f"sha256={signature}"}

    with workers(), web() as port:
        load(port, ask, CLIENTS, 1.0)  # every process of the web server has imported and connected what it needs
        with in_app(app):
            before = Task.objects.count()
        seconds, latencies = load(port, ask, CLIENTS, SECONDS / (5 if quick else 1))
        with in_app(app):
            lost = len(latencies) - (Task.objects.count() - before)
            until(lambda: not QueueEntry.objects.exists(), "all tasks have ended")
            check_completed(app, before + len(latencies) - lost)
    return {
        "per_second": len(latencies) / seconds,
        "p50": percentile(latencies, 0.50),
        "p99": percentile(latencies, 0.99),
        "lost": lost,
    }


def reaction(quick: bool) -> dict[str, float]:
    """From the return of the commit of an event to the start of the run that it starts, on an idle system."""
    app = migrated(DOCUMENT)
    count = EVENTS // (5 if quick else 1)
    published: list[int] = []
    with workers(), in_app(app):
        for _ in range(count):
            time.sleep(random.uniform(*PAUSES))
            publish("tick", {}, by="bench")
            published.append(time.time_ns())
        until(lambda: Task.objects.count() == count and not QueueEntry.objects.exists(), "all reactions have ended")
        check_completed(app, count)
        began = list(Task.objects.order_by("id").values_list("output__ns", flat=True))
    if len(began) != count:
        raise BenchError(f"{count} events had {len(began)} reactions")
    took = [(start - said) / 1e6 for start, said in zip(began, published, strict=True)]  # both are in order
    return {"p50": percentile(took, 0.50), "p95": percentile(took, 0.95)}


def timers(quick: bool) -> dict[str, float]:
    """From the second at which all of them are due to the record of each firing, and to the start of its run.

    On PostgreSQL the workers are of two hosts, half of them each.
    """
    count = TIMERS // (5 if quick else 1)
    trigger = {"type": "timer", "interval": "1h"}
    entries = {f"timer{number}": {"agent": "clock", "trigger": trigger, "input": "now"} for number in range(count)}
    app = migrated({"agents": DOCUMENT["agents"], "entry_points": entries})
    hosts = 2 if sql.is_postgresql() else 1
    with ExitStack() as running, in_app(app):
        for host in range(hosts):
            each = 4 // hosts
            running.enter_context(
                workers(beside=host * each, HECTOR_QUEUE_WORKERS=str(each), HECTOR_HOST_NAME=f"host{host}")
            )
        due = sql.instant() + timedelta(seconds=3)
        EntryPoint.objects.update(anchor=due - HOUR, next_at=due)
        QueueEntry.objects.filter(kind="timer").update(run_at=due)
        tasks = QueueEntry.objects.filter(kind="task")
        until(lambda: Firing.objects.count() >= count and not tasks.exists(), "all timers have fired")
        check_completed(app, count)
        fired = list(Firing.objects.values_list("entry_point", "scheduled_for", "at"))
        began: list[int] = list(Task.objects.values_list("output__ns", flat=True))
    if len({timer for timer, instant, _ in fired if instant == due}) != count or len(fired) != count:
        raise BenchError(f"{count} timers have fired {len(fired)} times")
    late = [(at - due).total_seconds() * 1e3 for _, _, at in fired]
    start_late = [ns / 1e6 - due.timestamp() * 1e3 for ns in began]
    return {"p50": percentile(late, 0.50), "p99": percentile(late, 0.99), "p99_start": percentile(start_late, 0.99)}
