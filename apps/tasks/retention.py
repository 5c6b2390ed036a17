"""What is kept, and for how long: ended tasks and all that belongs to them, by age and by count, per App.

A task is kept until it has ended `tasks` seconds ago or `tasks_max` others have ended since. Never pruned: a task that
has not ended; one with an open dead letter, or one resolved less than `dead_letters` ago; one that an idempotency key
or a unique period still speaks for. A fork outlives its parent and only forgets its name. Of a task that was pruned its
id is kept for another REMEMBERED, so that who asks for it is told.

Pruning holds nobody up: batches of a few milliseconds, in a transaction each, with pauses between. On SQLite a batch
writes to the App's file alone, so claims, which write to the shared one, do not even wait for a batch.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connection, models, transaction
from django.utils import timezone

from apps.queue import sql
from apps.quotas.models import Use
from apps.tasks import cascade
from apps.tasks.models import DeadLetter, Event, IdempotencyKey, Operation, PrunedTask, Task, UniquePeriod
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from hector_site.env import duration

log = structlog.get_logger(__name__)
BATCH_SECONDS = {"sqlite": 0.01, "postgresql": 0.02}  # what a batch should take; the number of its rows follows
LEAST, MOST = 10, 1000  # rows of a batch, without those that go with them
READ = 5000  # ids at a time
REST = 2.0  # a pause is so many times as long as the batch before it
REMEMBERED = timedelta(days=7)  # how long it is known of a task that it was pruned
RUN_SECONDS = 1800.0  # of one maintenance job; the next one goes on
AGES = ("tasks", "dead_letters", "notifications")  # fields of a policy that are seconds; the others are counts


@dataclass(frozen=True)
class Policy:
    """What an App keeps; 0 means without end."""

    tasks: float  # seconds since a task's end
    tasks_max: int  # ended tasks
    dead_letters: float  # seconds since a dead letter was resolved, or an operation over them was finished
    notifications: float  # seconds since a message arrived or was given up


def installation_policy() -> Policy:
    return Policy(
        tasks=settings.HECTOR_RETENTION_TASKS,
        tasks_max=settings.HECTOR_RETENTION_TASKS_MAX,
        dead_letters=settings.HECTOR_RETENTION_DEAD_LETTERS,
        notifications=settings.HECTOR_RETENTION_NOTIFICATIONS,
    )


def policy_of(app: App) -> Policy:
    """The App's own values, and the installation's where it has none."""
    return Policy(**{**vars(installation_policy()), **app.retention})


def prune_all() -> int:
    """Prunes every App, for half an hour at the most; how many rows went. A maintenance job."""
    until = time.monotonic() + RUN_SECONDS
    apps = App.objects.exclude(status=App.Status.DELETING)
    return sum(sum(prune(app, until=until).values()) for app in apps)


def prune(app: App, *, until: float | None = None) -> Counter[str]:
    """Prunes an App; the rows that went, by table."""
    gone: Counter[str] = Counter()
    with in_app(app):
        for kind, found in _prunable(policy_of(app)).items():
            _prune_kind(kind, found, gone, until)
    if gone:
        log.info("pruned", app=app.name, **gone)
    return gone


def prunable(app: App) -> Counter[str]:
    """What `prune` would delete now, by table."""
    counts: Counter[str] = Counter()
    with in_app(app):
        for kind, (where, params) in _prunable(policy_of(app)).items():
            counts += cascade.count(kind, where, params)
    return counts


Condition = tuple[str, list[Any]]  # SQL of a WHERE, and its parameters
Kind = type[models.Model]
# What apps above this one keep: what of it may go, by the policy, at this instant. Inside the App.
more: list[Callable[[Policy, datetime], dict[Kind, Condition]]] = []


def _prunable(policy: Policy) -> dict[Kind, Condition]:
    """What may go, in the order in which it goes: keys and periods first, for they keep tasks."""
    now = timezone.now()
    kinds: dict[Kind, Condition] = {
        IdempotencyKey: ("created_at <= %s", [sql.dt(now - settings.HECTOR_IDEMPOTENCY_PERIOD)]),
        UniquePeriod: ("expires_at <= %s", [sql.dt(now)]),
        Use: ("start + seconds <= %s", [int(now.timestamp())]),
        PrunedTask: ("at <= %s", [sql.dt(now - REMEMBERED)]),
    }
    if policy.dead_letters:
        resolved = sql.dt(now - timedelta(seconds=policy.dead_letters))
        kinds[Operation] = ("status <> 'running' AND finished_at <= %s", [resolved])
    if (bound := _bound(policy, now)) is not None:
        kinds[Task] = _tasks(bound, policy, now)
    if policy.dead_letters:
        # A discarded one stays as long as its task: it is why that has failed.
        kinds[DeadLetter] = ("status = 'retried' AND resolved_at <= %s", [resolved])
    if policy.tasks:
        of_no_task = sql.dt(now - timedelta(seconds=policy.tasks))
        kinds[Event] = ("task_id IS NULL AND at <= %s", [of_no_task])
    for prunable_of in more:
        kinds |= prunable_of(policy, now)
    return kinds


def _bound(policy: Policy, now: datetime) -> datetime | None:
    """Tasks that ended at or before this instant may go; None: all of them stay."""
    bounds = [now - timedelta(seconds=policy.tasks)] if policy.tasks else []
    if policy.tasks_max:
        ended = Task.objects.filter(finished_at__isnull=False).order_by("-finished_at").values_list("finished_at")
        bounds += [instant for (instant,) in ended[policy.tasks_max : policy.tasks_max + 1] if instant]
    return max(bounds, default=None)


def _tasks(bound: datetime, policy: Policy, now: datetime) -> Condition:
    letters, params = "status = 'open'", [sql.dt(bound)]
    if policy.dead_letters:
        letters += " OR resolved_at > %s"
        params.append(sql.dt(now - timedelta(seconds=policy.dead_letters)))
    else:
        letters = "1 = 1"
    kept = [f"tasks_deadletter WHERE task_id = tasks_task.id AND ({letters})"]
    kept += [f"{table} WHERE task_id = tasks_task.id" for table in ("tasks_idempotencykey", "tasks_uniqueperiod")]
    # `task_finished` serves the choice.
    none = " AND ".join(f"NOT EXISTS (SELECT 1 FROM {rows})" for rows in kept)
    return f"finished_at <= %s AND {none}", params


def _prune_kind(kind: Kind, found: Condition, gone: Counter[str], until: float | None) -> None:
    candidates = _candidates(kind, found)
    size = LEAST
    while until is None or time.monotonic() < until:
        batch = [key for _, key in zip(range(size), candidates, strict=False)]
        if not batch:
            return
        begun = time.monotonic()
        with _own_file_only(), transaction.atomic():
            gone += cascade.delete(kind, batch, *found, then=_remember if kind is Task else lambda _: None)
        took = time.monotonic() - begun
        size = max(LEAST, min(MOST, round(size * min(2.0, BATCH_SECONDS[connection.vendor] / took))))
        time.sleep(took * REST)


def _remember(deleted: list[Any]) -> None:
    """Keeps the ids of tasks that are gone."""
    PrunedTask.objects.bulk_create([PrunedTask(id=sql.as_uuid(key)) for key in deleted])


def _candidates(kind: Kind, found: Condition) -> Iterator[Any]:
    """The ids of what may go, each once, READ of them at a time."""
    where, params = found
    after: list[Any] = []
    beyond = ""
    while True:
        keys = sql.fetch(
            f"SELECT id FROM {kind._meta.db_table} WHERE {where} {beyond} ORDER BY id LIMIT {READ}", [*params, *after]
        )
        yield from (key for (key,) in keys)
        if len(keys) < READ:
            return
        beyond, after = "AND id > %s", [keys[-1][0]]


@contextmanager
def _own_file_only() -> Iterator[None]:
    """On SQLite: a transaction that takes the write lock of the files that it writes to, and not of all at its begin.

    Its first statement must be a write, or it may fail where another transaction commits in between.
    """
    if sql.is_postgresql():
        yield
        return
    engine: Any = connection
    mode, engine.transaction_mode = engine.transaction_mode, "DEFERRED"
    try:
        yield
    finally:
        engine.transaction_mode = mode


def as_json(policy: Policy, own: Mapping[str, Any]) -> dict[str, Any]:
    """A policy as the API shows it: ages as durations; `own` are the App's own fields."""
    values = {name: duration(value) if name in AGES else value for name, value in vars(policy).items()}
    return {**values, "own": sorted(own)}
