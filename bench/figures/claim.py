"""What a claim costs when 1,000 entries are waiting, and when 1,000,000 are."""

from __future__ import annotations

import statistics
import time

from apps.queue import leases, workers
from apps.queue.models import Worker
from apps.tenancy.models import App
from bench.figures.queue import fill
from bench.harness import migrated, tidy

FEW, MANY = 1_000, 1_000_000
CLAIMS, SIZE = 300, 2  # of so many entries each


def measure(quick: bool) -> dict[str, float]:
    app = migrated()
    worker = workers.register(slots=SIZE)
    few = milliseconds(app, worker, FEW, 0)
    many = milliseconds(app, worker, MANY // (10 if quick else 1), FEW)
    return {"few": few, "many": many, "ratio": many / few}


def milliseconds(app: App, worker: Worker, waiting: int, more_than: int) -> float:
    """The median milliseconds of a claim while so many wait; each is made up for by what it took."""
    fill(app, waiting - more_than, "ready", 0, "NULL")
    tidy()
    took = []
    for _ in range(CLAIMS):
        begun = time.perf_counter()
        claimed = leases.claim(worker.pk, SIZE)
        took.append((time.perf_counter() - begun) * 1000)
        assert len(claimed) == SIZE
        leases.give_back(claimed)
    return statistics.median(took)
