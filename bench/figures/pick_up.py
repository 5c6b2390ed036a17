"""How long a task waits on an idle system before its run begins.

The run itself notes when it began, by the clock of the host that also submitted it. `p50` and `p95` count from the
moment at which the commit had returned to whoever submitted, `…_from_commit` from the one at which it was sent.
"""

from __future__ import annotations

import random
import time
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.queue.models import QueueEntry
from apps.tasks import lifecycle
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Task
from apps.tenancy.context import in_app
from bench.figures.tasks import check_completed
from bench.harness import migrated, percentile, until, workers

TASKS = 300
PAUSES = (0.03, 0.07)  # seconds; of differing length, so as not to beat in time with anything
DOCUMENT = {"agents": {"clock": {"type": "function", "handler": "bench.functions.clock"}}}


def measure(quick: bool) -> dict[str, float]:
    app = migrated(DOCUMENT)
    count = TASKS // (5 if quick else 1)
    sent: dict[UUID, int] = {}
    committed: dict[UUID, int] = {}
    with workers(), in_app(app):
        for _ in range(count):
            time.sleep(random.uniform(*PAUSES))
            with transaction.atomic():
                task = lifecycle.submit(app, NewTask("clock", "now"), by="bench")
                sent[task.pk] = time.time_ns()
            committed[task.pk] = time.time_ns()
        until(lambda: not QueueEntry.objects.exists(), "all tasks have ended")
        check_completed(app, count)
        outputs: list[tuple[UUID, Any]] = list(Task.objects.values_list("pk", "output"))
    began = {key: output["ns"] for key, output in outputs}
    after_return = [(began[key] - committed[key]) / 1e6 for key in committed]
    after_sending = [(began[key] - sent[key]) / 1e6 for key in sent]
    return {
        "p50": percentile(after_return, 0.50),
        "p95": percentile(after_return, 0.95),
        "p50_from_commit": percentile(after_sending, 0.50),
        "p95_from_commit": percentile(after_sending, 0.95),
    }
