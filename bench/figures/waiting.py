"""Many tasks that mostly wait: how long they take together when there is a slot for each, and what that costs."""

from __future__ import annotations

import os
from typing import Any

from apps.queue.models import QueueEntry
from apps.tasks.models import Task
from apps.tenancy.context import in_app
from bench.figures.tasks import check_completed, submit
from bench.harness import migrated, pause, pss, resume, tidy, until, workers

TASKS = 500
DOCUMENT = {"agents": {"wait": {"type": "function", "handler": "bench.functions.wait"}}}


def measure(quick: bool) -> dict[str, float]:
    app = migrated(DOCUMENT)
    pause()
    submit(app, TASKS, "wait")
    tidy()
    processes = int(os.environ.get("HECTOR_QUEUE_WORKERS") or 4)
    memory: list[float] = []

    def ended() -> bool:
        memory.append(pss(cluster.pid))
        return not QueueEntry.objects.exists()

    with workers(HECTOR_SLOTS=str(-(-TASKS // processes))) as cluster:
        resume()
        until(ended, "all tasks have ended", look=0.25)
        memory.append(pss(cluster.pid))
    check_completed(app, TASKS)
    with in_app(app):
        outputs: list[Any] = list(Task.objects.values_list("output", flat=True))
    seconds = (max(done["ended"] for done in outputs) - min(done["begun"] for done in outputs)) / 1e9
    return {"seconds": seconds, "pss": max(memory)}
