"""The queue alone: how fast entries are claimed, run as a no-op and settled, by all workers together.

What else waits in the table must not matter; it is either scheduled for later or ready but of lower priority.
"""

from __future__ import annotations

from uuid_utils.compat import uuid7

from apps.queue import entries, sql
from apps.queue.entries import NewEntry
from apps.tenancy.models import App
from bench.harness import counted, migrated, pause, seconds_to_drain, tidy, workers

PRELOADED, WAITING = 20_000, 500_000
BATCH = 1000
KIND = "noop"


def alone(quick: bool) -> dict[str, float]:
    return _measure(migrated(), quick)


def with_scheduled(quick: bool) -> dict[str, float]:
    app = migrated()
    fill(app, WAITING // (10 if quick else 1), "scheduled", 0, sql.later("(30 * 86400 + waiting.n)"))
    return _measure(app, quick)


def with_ready(quick: bool) -> dict[str, float]:
    app = migrated()
    fill(app, WAITING // (10 if quick else 1), "ready", -1, "NULL")
    return _measure(app, quick)


def _measure(app: App, quick: bool) -> dict[str, float]:
    count = PRELOADED // (10 if quick else 1)
    pause()
    for _ in range(0, count, BATCH):
        entries.enqueue(app, [NewEntry(uuid7(), kind=KIND) for _ in range(BATCH)])
    tidy()
    with workers():
        seconds = seconds_to_drain(_drained)
        pause()  # what is left is not to be worked off
    return {"per_second": count / seconds}


def _drained() -> bool:
    """Nothing but what only waits is left. (`queue_ready` and `queue_leased` serve the two looks.)"""
    looks = [
        f"EXISTS (SELECT 1 FROM queue_queueentry WHERE state = '{state}' AND priority >= 0)"
        for state in ("ready", "leased")
    ]
    return not sql.fetch(f"SELECT {' OR '.join(looks)}")[0][0]


def fill(app: App, count: int, state: str, priority: int, run_at: str) -> None:
    """Writes waiting entries as `entries.enqueue` does, but at once; their keys rise, as those of tasks do."""
    key = "uuidv7()" if sql.is_postgresql() else "PRINTF('%%012x', waiting.n) || LOWER(HEX(RANDOMBLOB(10)))"
    sql.execute(
        f"{counted('waiting')} INSERT INTO queue_queueentry"
        " (app_id, kind, key, state, priority, tag, run_at, lane, epoch, cancel, enqueued_at)"
        f" SELECT %s, %s, {key}, %s, %s, waiting.n, {run_at}, '', 0, 1 = 0, {sql.now()} FROM waiting",
        [count, app.pk, KIND, state, priority],
    )
