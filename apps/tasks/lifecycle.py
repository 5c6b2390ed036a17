"""A task's transitions, apart from those that a run makes itself (`apps.tasks.journal`).

Each is one function: a conditional update on the state that it starts from, with its event, its queue entry and, where
there is one, its dead letter in the same transaction. All are called inside the task's App.

    pending -> running -> completed | failed | cancelled | pending (retry, hand-back)
    running -> input_required -> pending (resume) | failed | cancelled
    pending -> cancelled            failed | cancelled -> pending (retry)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

import jsonschema
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, F, QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from referencing.exceptions import Unresolvable

from apps.agents.config.spec import AgentSpec
from apps.agents.models import AgentVersion
from apps.agents.versions import spec_of, specs_of, version_of
from apps.queue import entries, leases, limits, sql
from apps.queue.entries import NewEntry
from apps.queue.faults import Point, reach
from apps.queue.leases import Lease
from apps.tasks import admission, checkpoints, outbox, replay, unique
from apps.tasks.errors import IllegalTransition, InputInvalid, TaskError, UnknownAgent
from apps.tasks.events import EventType, NewEvent, append_events, record
from apps.tasks.models import FINAL, Attempt, Checkpoint, DeadLetter, Isolation, Task, TaskStatus, UniqueScope
from apps.tenancy import connection as tenancy
from apps.tenancy.models import App

LOOK_AGAIN = 0.2  # seconds between looks whether the task that one follows has ended


@dataclass(frozen=True)
class NewTask:
    """What somebody asks for. `None` leaves a value to the agent, and that to the installation."""

    agent: str
    input: Any
    session: str = ""
    isolation: Isolation | None = None  # within its session; `shared` if nothing is said
    priority: int = 0
    run_at: datetime | None = None
    timeout_seconds: float | None = None
    deadline: datetime | None = None
    max_retries: int | None = None
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    entry_point: str | None = None
    caused_by: UUID | None = None  # the task whose event it is a reaction to …
    chain: int = 0  # … at the end of a chain of so many
    follows: UUID | None = None  # it starts when this task has ended
    trace_id: str = ""
    unique_key: str | None = None  # keeps other tasks with this key out (`apps.tasks.unique`) …
    unique_scope: UniqueScope = UniqueScope.ACTIVE  # … for so long
    unique_period: float | None = None  # seconds, of the scope `period`


def submit(app: App, new: NewTask, *, by: str) -> Task:
    """Accepts a task: after the commit no crash loses it. Raises UnknownAgent, InputInvalid, TooMuch or NotUnique."""
    return submit_many(app, [new], by=by)[0]


def submit_many(app: App, news: Sequence[NewTask], *, by: str) -> list[Task]:
    """Accepts all of the tasks or none."""
    tasks = [_accepted(new, by) for new in news]
    with admission.counted(app, tasks, by=by):
        if not _accept_at_once(app, tasks):
            _accept(app, tasks, news, by)
    return tasks


def _accept(app: App, tasks: Sequence[Task], news: Sequence[NewTask], by: str) -> None:
    with unique.guarded(tasks):
        Task.objects.bulk_create(tasks)
        for task, new in zip(tasks, news, strict=True):
            if new.unique_key and new.unique_period is not None:
                unique.take_period(task, new.unique_period)
        append_events([(task.pk, 0, NewEvent(EventType.STATE_CHANGED, _ACCEPTED, by)) for task in tasks])
        entries.enqueue(app, [entry_of(task) for task in tasks])


_ACCEPTED = {"to": TaskStatus.PENDING.value}


def _accept_at_once(app: App, tasks: Sequence[Task]) -> bool:
    """Writes what nearly all of them are, work that nothing else can be in the way of, in one statement.

    On PostgreSQL, and not where somebody subscribes to the event: False, and nothing was written.
    """
    if not sql.is_postgresql() or any(task.unique_key for task in tasks):
        return False
    columns = _columns()
    names = ", ".join(columns)
    kind = f"'{EventType.STATE_CHANGED}'"
    written = sql.fetch_batch(
        {"n": "int", **columns},
        [(number, *_row(task)) for number, task in enumerate(tasks)],
        f", new AS (SELECT * FROM batch WHERE NOT {outbox.is_wanted(kind)}),"
        f" accepted AS (INSERT INTO tasks_task ({names}) SELECT {names} FROM new),"
        f" told AS (INSERT INTO tasks_event (task_id, seq, type, payload, actor, at, unread)"
        f" SELECT id, last_seq, {kind}, '{sql.js(_ACCEPTED)}', created_by, {sql.now()}, FALSE FROM new ORDER BY n),"
        f" entry AS (SELECT n, 'task' AS kind, id AS key, priority, next_attempt_at AS run_at, agent AS lane,"
        f" COALESCE(entry_point, '') AS group_name, epoch FROM new) {entries.insertion(app, 'entry')}",
    )
    for task in tasks if written else ():
        task._state.adding, task._state.db = False, connection.alias
    return bool(written)


def entry_of(task: Task) -> NewEntry:
    """A task as the queue sees it: its agent can be held, and its entry point may have a limit."""
    return NewEntry(
        task.pk, priority=task.priority, run_at=task.next_attempt_at, lane=task.agent, group=task.entry_point or "",
        epoch=task.epoch,
    )  # fmt: skip


@cache
def _columns() -> dict[str, str]:
    """A task's columns with their types; a text is checked for its length when it is stored, not cut off."""
    types = {str(field.column): field.db_type(connection) or "" for field in Task._meta.concrete_fields}
    return {name: "text" if kind.startswith("varchar") else kind for name, kind in types.items()}


def _row(task: Task) -> list[Any]:
    fields = Task._meta.concrete_fields
    return [field.get_db_prep_save(getattr(task, field.attname), connection) for field in fields]


def _accepted(new: NewTask, by: str) -> Task:
    version = version_of(new.agent)
    if version is None:
        raise UnknownAgent(f"there is no agent {new.agent!r} in this App")
    spec = spec_of(version)
    value = checked_input(version, new.input)
    retries = spec.retry.max_retries if new.max_retries is None else new.max_retries
    return Task(
        agent=new.agent,
        agent_version=version,
        input=value,
        session=new.session,
        isolation=(new.isolation or Isolation.SHARED) if new.session else "",
        entry_point=new.entry_point,
        caused_by=new.caused_by,
        chain=new.chain,
        follows=new.follows,
        priority=new.priority,
        tags=new.tags,
        metadata=new.metadata,
        max_retries=settings.HECTOR_QUEUE_MAX_RETRIES if retries is None else retries,
        timeout_seconds=spec.timeout if new.timeout_seconds is None else new.timeout_seconds,
        deadline=new.deadline,
        next_attempt_at=new.run_at,
        trace_id=new.trace_id,
        created_by=by,
        unique_key=new.unique_key,
        unique_scope=_unique_scope(new) if new.unique_key else "",
        last_seq=1,
        created_at=timezone.now(),
    )


def _unique_scope(new: NewTask) -> UniqueScope:
    return new.unique_scope if new.unique_period is None else UniqueScope.PERIOD


def _check_input(spec: AgentSpec, value: Any) -> None:
    if not spec.input_schema:
        return
    validator = jsonschema.Draft202012Validator(spec.input_schema)
    try:
        faults = sorted(validator.iter_errors(value), key=lambda fault: fault.json_path)
    except (RecursionError, Unresolvable) as error:
        raise InputInvalid(f"the agent's input schema cannot check this input: {type(error).__name__}") from None
    if faults:
        raise InputInvalid("; ".join(f"{fault.json_path}: {fault.message[:200]}" for fault in faults[:5]))


@dataclass(frozen=True)
class Started:
    """A task whose attempt has begun, as its run needs it."""

    task: Task
    digest: str  # of its agent's version
    spec: AgentSpec
    checkpoints: list[Checkpoint]  # that it goes on from
    turn_offset: int = 0  # model turns that it goes on from, less those that it has had: of a fork, or after a retry


def begin(app: App, claimed: Sequence[Lease], worker: str) -> list[tuple[Lease, Started]]:
    """pending -> running for each lease whose task can run; the others are settled here.

    A task that is found running under an older epoch was left by a worker that died: that attempt is recorded as
    crashed, and the task runs again unless its attempts are used up. One that is found running under this very epoch
    was started just now: the answer to the commit was lost.
    """
    fresh = _begin_fresh(claimed, worker) if claimed else []
    begun = {lease.id for lease, _ in fresh}
    others = [lease for lease in claimed if lease.id not in begun]
    return [*fresh, *_begin_others(app, others, worker)] if others else fresh


_TASK = ", ".join(f"tasks_task.{field.column}" for field in Task._meta.concrete_fields)
_DIGEST = "(SELECT digest FROM agents_agentversion WHERE id = tasks_task.agent_version_id) AS digest"


def _begin_fresh(claimed: Sequence[Lease], worker: str) -> list[tuple[Lease, Started]]:
    """What nearly all of them are: tasks that nothing has been recorded of yet. On PostgreSQL one statement.

    Not where somebody subscribes to their events, which takes more to hand them over.
    """
    postgresql = sql.is_postgresql()
    kind = f"'{EventType.EXECUTION_STARTED}'"
    start = (
        f"UPDATE tasks_task SET status = 'running', attempt = attempt + 1, epoch = lease_epoch, worker = who,"
        f" next_attempt_at = NULL, attempt_started_at = {sql.now()}, started_at = COALESCE(started_at, {sql.now()}),"
        f" last_seq = last_seq + 1, last_change = 0"
        f" FROM batch JOIN queue_queueentry entry"
        f" ON entry.id = batch.entry AND entry.state = 'leased' AND entry.worker_id = batch.owner"
        f" AND entry.epoch = batch.lease_epoch"
        f" WHERE tasks_task.id = batch.task AND status = 'pending' AND last_checkpoint = 0 AND follows IS NULL"
        f" AND cancel_requested_at IS NULL AND (deadline IS NULL OR deadline > {sql.now()})"
        f" AND NOT {outbox.is_wanted(kind)}"
        f" RETURNING {_TASK}, {_DIGEST}"
    )
    if postgresql:
        start = (
            f", started AS ({start}), told AS ("
            f" INSERT INTO tasks_event (task_id, seq, type, payload, actor, at, unread)"
            f" SELECT id, last_seq, {kind},"
            f" JSONB_BUILD_OBJECT('attempt', attempt, 'worker', worker), '', {sql.now()}, FALSE FROM started"
            f") SELECT * FROM started"
        )
    batch, values = sql.batch(
        {"entry": "bigint", "task": "uuid", "lease_epoch": "int", "owner": "bigint", "who": "text"},
        [(lease.id, sql.uid(lease.key), lease.epoch, lease.worker_id, worker) for lease in claimed],
    )
    with nullcontext() if postgresql else transaction.atomic():
        tasks = {task.pk: task for task in Task.objects.raw(f"{batch} {start}", values)}
        if not postgresql:
            append_events([_start_event(task, []) for task in tasks.values()])
    digests: dict[UUID, str] = {pk: vars(task)["digest"] for pk, task in tasks.items()}  # a column of the query's own
    specs = specs_of({digests[pk]: task.agent_version_id for pk, task in tasks.items()})
    return [
        (lease, Started(task, digests[task.pk], specs[digests[task.pk]], []))
        for lease in claimed
        if (task := tasks.get(lease.key)) is not None
    ]


@transaction.atomic
def _begin_others(app: App, claimed: Sequence[Lease], worker: str) -> list[tuple[Lease, Started]]:
    # Locked, so that what a worker that was given up still writes is either seen here or refused.
    found = Task.objects.select_for_update().filter(pk__in=[lease.key for lease in claimed]).order_by("pk")
    tasks = {task.pk: task for task in found}
    owned = leases.owned(claimed)
    runnable: list[tuple[Lease, Task]] = []
    started: list[tuple[Lease, Task]] = []
    for lease in claimed:
        task = tasks.get(lease.key)
        if lease.id not in owned:
            continue  # this worker was given up for dead since it claimed
        if task is None or task.status not in (TaskStatus.PENDING, TaskStatus.RUNNING):
            leases.finish([lease])  # an entry whose task is over, or gone
        elif task.status == TaskStatus.RUNNING and task.epoch == lease.epoch:
            started.append((lease, task))
        elif _may_start(app, lease, task):
            runnable.append((lease, task))
    _start(runnable, worker)
    loaded = _loaded(runnable)  # after the start, for an attempt that was taken over may have written until then
    append_events([_start_event(begun.task, begun.checkpoints) for _, begun in loaded])
    return loaded + _loaded(started)


def _may_start(app: App, lease: Lease, task: Task) -> bool:
    if task.status == TaskStatus.RUNNING:
        _record_crash(task)
    if task.cancel_requested_at is not None:
        _end(lease, task, TaskStatus.CANCELLED, NewEvent(EventType.EXECUTION_CANCELLED, {"attempt": task.attempt}))
    elif task.deadline is not None and task.deadline <= timezone.now():
        _end_failed(lease, task, TaskError("deadline_exceeded", "the task's deadline passed before it could run"))
    elif task.status == TaskStatus.RUNNING and task.attempt > task.max_retries:
        _end_failed(lease, task, TaskError("worker_crashed", "the worker process died while it ran this task"))
    elif _has_to_wait(task):
        leases.reschedule(lease, LOOK_AGAIN)
    else:
        return True
    return False


def _has_to_wait(task: Task) -> bool:
    """Whether the task that it follows has not ended yet."""
    if task.follows is None or task.started_at is not None:
        return False
    return Task.objects.filter(pk=task.follows, finished_at=None).exists()


def _record_crash(task: Task) -> None:
    Attempt.objects.create(
        task=task,
        number=task.attempt,
        outcome=Attempt.Outcome.CRASHED,
        error=TaskError("worker_crashed", "the worker process died while it ran this task", retryable=True).as_json(),
        worker=task.worker,
        epoch=task.epoch,
        started_at=task.attempt_started_at,
    )


def _start(runnable: Sequence[tuple[Lease, Task]], worker: str) -> None:
    for _, task in runnable:
        task.attempt += 1
        task.last_seq += 1
        task.worker = worker
    started = sql.execute_batch(
        {"task": "uuid", "was_epoch": "int", "was": "text", "number": "int", "now_epoch": "int", "who": "text"},
        [(sql.uid(task.pk), task.epoch, task.status, task.attempt, lease.epoch, worker) for lease, task in runnable],
        f"UPDATE tasks_task SET status = 'running', attempt = number, epoch = now_epoch, worker = who,"
        f" next_attempt_at = NULL, attempt_started_at = {sql.now()}, started_at = COALESCE(started_at, {sql.now()}),"
        f" last_seq = last_seq + 1, last_change = 0 FROM batch"
        f" WHERE tasks_task.id = batch.task AND epoch = was_epoch AND status = was AND cancel_requested_at IS NULL",
    )
    if started != len(runnable):  # somebody changed one of them just now: undo all, each is tried again by itself
        raise IllegalTransition("a task changed while it was being started")


def _start_event(task: Task, journal: Sequence[Checkpoint]) -> tuple[UUID, int, NewEvent]:
    resumed = {"resumed_from": journal[-1].seq} if journal else {}
    payload = {"attempt": task.attempt, "worker": task.worker, **resumed}
    return task.pk, 0, NewEvent(EventType.EXECUTION_STARTED, payload)


def _loaded(runnable: Sequence[tuple[Lease, Task]]) -> list[tuple[Lease, Started]]:
    wanted = {task.agent_version_id for _, task in runnable}
    digests = dict(AgentVersion.objects.filter(pk__in=wanted).values_list("pk", "digest"))
    specs = specs_of({digest: pk for pk, digest in digests.items()})
    journals: dict[Any, list[Checkpoint]] = {}
    offsets: dict[Any, int] = {}
    resumed = [task.pk for _, task in runnable if task.last_checkpoint or task.status == TaskStatus.RUNNING]
    if resumed:
        found = Checkpoint.objects.filter(task__in=resumed)
        for point in checkpoints.live(found).order_by("seq"):
            journals.setdefault(point.task_id, []).append(point)
        offsets = _turn_offsets(found.filter(kind=Checkpoint.Kind.MODEL))

    def started(task: Task) -> Started:
        digest = digests[task.agent_version_id]
        return Started(task, digest, specs[digest], journals.get(task.pk, []), offsets.get(task.pk, 0))

    return [(lease, started(task)) for lease, task in runnable]


def _turn_offsets(turns: QuerySet[Checkpoint]) -> dict[Any, int]:
    inherited = checkpoints.live(turns).filter(epoch=0).values_list("task").annotate(turns=Count("pk"))
    left = checkpoints.not_live(turns).exclude(epoch=0).values_list("task").annotate(turns=Count("pk"))
    offsets = dict(inherited)
    for task_id, count in left:
        offsets[task_id] = offsets.get(task_id, 0) - count
    return offsets


def _end(lease: Lease, task: Task, status: TaskStatus, event: NewEvent, error: TaskError | None = None) -> None:
    """Ends a task that a worker has claimed but will not run."""
    leases.finish([lease])
    Task.objects.filter(pk=task.pk).update(
        status=status, error=error.as_json() if error else None, finished_at=Now(), worker="", attempt_started_at=None,
        next_attempt_at=None, epoch=lease.epoch,
    )  # fmt: skip
    record(task.pk, event)


def _end_failed(lease: Lease, task: Task, error: TaskError) -> None:
    event = NewEvent(EventType.EXECUTION_FAILED, {"attempt": task.attempt, "error": error.as_json()})
    _end(lease, task, TaskStatus.FAILED, event, error)
    _file(task, error)


def _file(task: Task, error: TaskError) -> None:
    fingerprint = error.fingerprint(task.agent)
    DeadLetter.objects.create(
        task=task, agent=task.agent, code=error.code[:100], fingerprint=fingerprint, error=error.as_json(),
        last_checkpoint=task.last_checkpoint,
    )  # fmt: skip
    record(task.pk, NewEvent(EventType.DEAD_LETTERED, {"fingerprint": fingerprint, "error": error.as_json()}))


# What else ends when a waiting task is cancelled (its open approvals): called with the task in its transaction.
when_wait_is_cancelled: list[Callable[[App, Task], object]] = []


def cancel(app: App, task: Task, *, by: str, reason: str = "") -> Task:
    """Ends a task that waits, for a worker or for a person; asks the worker of a running one to stop its work, which
    then says `cancelled`.

    Raises IllegalTransition if the task has ended already.
    """
    why = {"reason": reason} if reason else {}
    with transaction.atomic():
        lock(task)
        if task.status in FINAL:
            raise IllegalTransition(f"the task has ended already: it is {task.status}")
        if task.status == TaskStatus.RUNNING:
            _move(task, (TaskStatus.RUNNING,), TaskStatus.RUNNING, cancel_requested_at=Now())
            entries.request_cancel(app, task.pk)
            payload = {"to": TaskStatus.RUNNING.value, "cancel_requested": True, **why}
            record(task.pk, NewEvent(EventType.STATE_CHANGED, payload, by))
        else:
            waits = _end_of_wait(task) if task.status == TaskStatus.INPUT_REQUIRED else {}
            _move(
                task, (TaskStatus(task.status),), TaskStatus.CANCELLED,
                finished_at=Now(), next_attempt_at=None, **waits,
            )  # fmt: skip
            entries.remove(app, task.pk)
            record(task.pk, NewEvent(EventType.EXECUTION_CANCELLED, {"attempt": task.attempt, **why}, by))
            for end in when_wait_is_cancelled if waits else ():
                end(app, task)
            if waits:
                _wait_has_ended(task)
    task.refresh_from_db()
    return task


def resume(app: App, task: Task, *, by: str) -> None:
    """input_required -> pending: people have decided all that the task waited for. Raises IllegalTransition."""
    values = _end_of_wait(task)
    if not _move(task, (TaskStatus.INPUT_REQUIRED,), TaskStatus.PENDING, **values):
        raise IllegalTransition(f"only a task that waits for a person can be resumed; this one is {task.status}")
    payload = {"waited_seconds": round(values["waited_seconds"] - task.waited_seconds, 3)}
    record(task.pk, NewEvent(EventType.EXECUTION_RESUMED, payload, by))
    _requeue(app, task)
    if task.entry_point is not None and task.entry_point in count_waiting(app):
        limits.keep_place(app, task.pk)
    reach(Point.RESUME_WRITES)


def fail_waiting(task: Task, error: TaskError, *, by: str) -> None:
    """input_required -> failed, a person having decided so; filed with the dead letters. Raises IllegalTransition."""
    values = {"error": error.as_json(), "finished_at": Now(), **_end_of_wait(task)}
    if not _move(task, (TaskStatus.INPUT_REQUIRED,), TaskStatus.FAILED, **values):
        raise IllegalTransition(f"only a task that waits for a person can be failed; this one is {task.status}")
    payload = {"attempt": task.attempt, "error": error.as_json()}
    record(task.pk, NewEvent(EventType.EXECUTION_FAILED, payload, by))
    _file(task, error)
    _wait_has_ended(task)


def _wait_has_ended(task: Task) -> None:
    """A task that waited is over: if it counted, another one may start."""
    if task.entry_point is None:
        return
    app = App.objects.get(schema_name=tenancy.connection.schema_name)
    if task.entry_point in count_waiting(app):
        transaction.on_commit(lambda: limits.release(app.pk))


def lock(task: Task) -> None:
    """Reads the task anew; nobody moves it until the transaction ends. (SQLite's writers take turns anyway.)"""
    task.refresh_from_db(from_queryset=Task.objects.select_for_update())


def _end_of_wait(task: Task) -> dict[str, Any]:
    """What the row of a (locked) waiting task gets when its wait ends: the wait itself counts to none of its limits."""
    [(seconds,)] = sql.fetch(
        f"SELECT {sql.seconds_since('waiting_since')} FROM tasks_task WHERE id = %s", [sql.uid(task.pk)]
    )
    waited = max(0.0, float(seconds or 0.0))
    values: dict[str, Any] = {"waiting_since": None, "waited_seconds": task.waited_seconds + waited}
    if task.deadline is not None:
        values["deadline"] = task.deadline + timedelta(seconds=waited)
    return values


def call_forward(app: App) -> int:
    """Lets the tasks go on that a budget has put off: they look at it anew. Inside the App; how many.

    They are those that have run and are to run again later, though their last attempt did not fail.
    """
    with transaction.atomic():
        rows = sql.fetch(
            f"UPDATE tasks_task SET next_attempt_at = NULL WHERE status = 'pending' AND started_at IS NOT NULL"
            f" AND error IS NULL AND next_attempt_at > {sql.now()} RETURNING id"
        )
        keys = [sql.as_uuid(key) for (key,) in rows]
        entries.call_forward(app, keys)
    return len(keys)


def count_waiting(app: App) -> list[str]:
    """Counts anew what waits for people, in the transaction that changes it; of which entry points that counts."""
    counted = limits.lock_groups_that_count_waiting(app)
    for group in counted:
        waiting = Task.objects.filter(entry_point=group, status=TaskStatus.INPUT_REQUIRED).count()
        limits.set_waiting(app, group, waiting)
    return counted


def _requeue(app: App, task: Task) -> None:
    """Queues a task that had left the queue."""
    entries.remove(app, task.pk)  # one is left over where a machine stopped between the commits of two SQLite files
    entries.enqueue(app, [entry_of(task)])


def retry(
    app: App, task: Task, *, by: str, new_input: Any = None, from_checkpoint: int | None = None, reason: str = ""
) -> Task:
    """Runs a failed or cancelled task again, on from its journal; with another input, from the beginning.

    From a checkpoint it goes on as if nothing behind that one had happened (`apps.tasks.replay`); with another input
    too, it keeps the conversation up to there, which then begins with that input. A call in doubt does not run again by
    that: the task will ask. Raises IllegalTransition, InputInvalid, NotResumable or NotUnique.
    """
    values: dict[str, Any] = {}
    if new_input is not None:
        values |= {"input": checked_input(task.agent_version, new_input), "created_by": by}
    if task.deadline is not None and task.deadline <= timezone.now():
        values["deadline"] = None
    with unique.guarded([task]):
        lock(task)
        if task.status not in (TaskStatus.FAILED, TaskStatus.CANCELLED):
            raise IllegalTransition(f"only a failed or cancelled task can be retried; this one is {task.status}")
        facts: dict[str, Any] = {"reason": reason} if reason else {}
        if from_checkpoint is not None:
            facts |= replay.plan(task, from_checkpoint).as_json()
            replay.set_aside_behind(task, from_checkpoint)
        elif new_input is not None:
            values["journal_start"] = F("last_checkpoint")
        _move(
            task, (TaskStatus(task.status),), TaskStatus.PENDING,
            attempt=0, error=None, output=None, finished_at=None, cancel_requested_at=None, **values,
        )  # fmt: skip
        DeadLetter.objects.filter(task=task, status=DeadLetter.Status.OPEN).update(
            status=DeadLetter.Status.RETRIED, resolved_at=Now(), resolved_by=by, reason=reason
        )
        payload = {"from": task.status, "to": TaskStatus.PENDING.value, **facts}
        record(task.pk, NewEvent(EventType.STATE_CHANGED, payload, by))
        task.refresh_from_db()
        _requeue(app, task)
    return task


def checked_input(version: AgentVersion, value: Any) -> Any:
    """The input as a task has it. Raises InputInvalid."""
    value = {"text": value} if isinstance(value, str) else value
    _check_input(spec_of(version), value)
    return value


def _move(task: Task, origin: Sequence[TaskStatus], status: TaskStatus, **values: Any) -> bool:
    return bool(Task.objects.filter(pk=task.pk, status__in=origin).update(status=status, **values))
