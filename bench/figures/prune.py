"""Pruning many ended tasks, and what claims cost meanwhile.

This process claims as a worker does, one entry every few milliseconds, and gives it back; `hector prune` runs beside it
in a process of its own. `p99_alone` is what claims cost before that, on the same machine with the same other load.
"""

from __future__ import annotations

import time
import uuid

from apps.queue import entries, leases, sql, workers
from apps.queue.entries import NewEntry
from apps.tasks.models import Task
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from bench.figures.tasks import submit
from bench.harness import BenchError, copying, counted, migrated, percentile, process, tidy

TASKS = 100_000
EVENTS, CHECKPOINTS = 6, 3  # of each
PAUSE = 0.005  # seconds between two claims
ALONE = 500  # claims before it begins
DOCUMENT = {"agents": {"echo": {"type": "function", "handler": "bench.functions.echo"}}}


def measure(quick: bool) -> dict[str, float]:
    count = TASKS // (10 if quick else 1)
    app = migrated(DOCUMENT)
    with in_app(app):
        _ended_tasks(app, count)
    tidy()
    worker = workers.register(slots=1)
    entries.enqueue(app, [NewEntry(uuid.uuid4(), kind="noop") for _ in range(1000)])
    alone = [_claim(worker.pk) for _ in range(ALONE)]
    taken: list[float] = []
    begun = time.monotonic()
    with process("prune", HECTOR_RETENTION_TASKS="1d") as pruning:
        while pruning.poll() is None:
            taken.append(_claim(worker.pk))
        seconds = time.monotonic() - begun
    with in_app(app):
        left = Task.objects.filter(finished_at__isnull=False).count()
    if pruning.returncode or left:
        raise BenchError(f"prune ended with {pruning.returncode} and left {left} of {count} tasks")
    return {
        "seconds": seconds,
        "p50": percentile(taken, 0.50),
        "p99": percentile(taken, 0.99),
        "most": max(taken),
        "p99_alone": percentile(alone, 0.99),
    }


def _claim(worker_id: int) -> float:
    """Milliseconds that a claim takes; the entry is given back, and a pause follows."""
    begun = time.monotonic()
    claimed = leases.claim(worker_id, 1)
    took = time.monotonic() - begun
    if len(claimed) != 1:
        raise BenchError("there was nothing to claim")
    leases.give_back(claimed)
    time.sleep(PAUSE)
    return took * 1000


def _ended_tasks(app: App, count: int) -> None:
    """Writes ended tasks, each with an attempt, events and checkpoints, as if they had run two months ago."""
    submit(app, 1, "echo")
    pattern = Task.objects.get()
    key = "gen_random_uuid()" if sql.is_postgresql() else "LOWER(HEX(RANDOMBLOB(16)))"
    then = sql.later("(-60 * 86400 + made.n)")
    special = {
        "id": key, "status": "'completed'", "finished_at": then, "started_at": then, "attempt": "1",
        "last_seq": str(EVENTS), "last_checkpoint": str(CHECKPOINTS),
    }  # fmt: skip
    sql.execute(
        f"{counted('made')} {copying(Task, special)} FROM made, tasks_task pattern WHERE pattern.id = %s",
        [count, sql.uid(pattern.pk)],
    )
    ended = "FROM tasks_task WHERE finished_at IS NOT NULL"
    empty = "'{}'::jsonb" if sql.is_postgresql() else "'{}'"
    for number in range(1, EVENTS + 1):
        sql.execute(
            f"INSERT INTO tasks_event (task_id, seq, type, payload, actor, at)"
            f" SELECT id, {number}, 'state_changed', {empty}, '', {sql.now()} {ended}"
        )
    for number in range(1, CHECKPOINTS + 1):
        value = f'\'{{"text": "{"x" * 500}"}}\'' + ("::jsonb" if sql.is_postgresql() else "")
        sql.execute(
            f"INSERT INTO tasks_checkpoint (task_id, seq, kind, key, value, size, set_aside, epoch, created_at)"
            f" SELECT id, {number}, 'model', 'model:{number}', {value}, 512, %s, 1, {sql.now()} {ended}",
            [False],
        )
    sql.execute(
        f"INSERT INTO tasks_attempt (task_id, number, outcome, traceback, worker, epoch, finished_at)"
        f" SELECT id, 1, 'completed', '', '', 1, {sql.now()} {ended}"
    )
