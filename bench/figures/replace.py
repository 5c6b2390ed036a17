"""An entry point that replaces what runs, triggered faster than anything can stop.

At no time more than one task runs, by the times that the database has put on its attempts; the last one is the one
that ends by itself; and all others have ended, so nobody waits for them for ever.
"""

from __future__ import annotations

import random
import time

from apps.tasks.models import FINAL, Attempt, Task
from apps.tenancy.context import in_app
from apps.triggers.entry_points import lifecycle
from apps.triggers.models import EntryPoint
from bench.harness import migrated, until, workers

TRIGGERS = 200
PAUSES = (0.0, 0.02)  # seconds between two: some come before the last one has begun, some when it runs
DOCUMENT = {
    "agents": {"reporter": {"type": "function", "handler": "bench.functions.rest"}},
    "entry_points": {
        "report": {
            "agent": "reporter", "trigger": {"type": "api"}, "session": "bench", "max_concurrent": 1,
            "on_limit": "replace",
        }
    },
}  # fmt: skip


def measure(quick: bool) -> dict[str, float]:
    app = migrated(DOCUMENT)
    count = TRIGGERS // (5 if quick else 1)
    with workers(), in_app(app):
        entry_point = EntryPoint.objects.get(name="report")
        begun = time.monotonic()
        for number in range(count):
            made = lifecycle.trigger(app, entry_point, by="bench", input={"last": number == count - 1})
            time.sleep(random.uniform(*PAUSES))
        triggered = time.monotonic()
        until(Task.objects.filter(entry_point="report", status="completed").exists, "the last one has ended")
        ended = time.monotonic()
        until(lambda: not Task.objects.exclude(status__in=FINAL).exists(), "nobody waits any more", patience=10)
        completed = list(Task.objects.filter(status="completed").values_list("pk", flat=True))
        return {
            "most_running": most_at_once(),
            "last_wins": float(completed == [made.task]),
            "hanging": float(Task.objects.exclude(status__in=FINAL).count()),
            "replaced_running": float(Attempt.objects.filter(outcome="cancelled").count()),
            "per_second": count / (triggered - begun),
            "last_ends_after": ended - triggered,
        }


def most_at_once() -> float:
    """Of all attempts, how many ran at one time."""
    times = Attempt.objects.values_list("started_at", "finished_at")
    steps = sorted([(ended, -1) for _, ended in times] + [(started, 1) for started, _ in times])
    running = most = 0
    for _, step in steps:
        running += step
        most = max(most, running)
    return float(most)
