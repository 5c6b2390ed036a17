"""The journal of a run: what it adds to its task while it runs, and how it ends.

A run hands in `Change`s. A change may hold checkpoints, events and usage, and at most one `Settlement`, which ends
the run. `commit` writes the changes of many runs in one transaction; a change of a run that no longer owns its task
is refused with LostLease and nothing of it is written.

Each verb below is one transition of a running task; `apps.tasks.lifecycle` has the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal
from uuid import UUID

from apps.queue import leases, sql
from apps.queue.errors import LostLease
from apps.queue.faults import Point, reach
from apps.queue.leases import Lease
from apps.quotas import counting
from apps.quotas.counting import Spent
from apps.tasks.checkpoints import Stored, pack
from apps.tasks.errors import TaskError
from apps.tasks.events import EventType, NewEvent, append_events
from apps.tasks.models import FINAL, Attempt, Checkpoint, TaskStatus
from apps.tenancy.models import App

Key = tuple[UUID, int]  # task and epoch


@dataclass(frozen=True)
class Run:
    """One attempt at a task by one worker: what fences its writes."""

    task_id: UUID
    agent: str
    attempt: int
    lease: Lease
    session: UUID | None = None  # whose row `also` may write, too

    @property
    def epoch(self) -> int:
        return self.lease.epoch


@dataclass(frozen=True)
class NewCheckpoint:
    kind: Checkpoint.Kind
    key: str
    value: Any

    @cached_property
    def stored(self) -> Stored:
        return pack(self.value)


@dataclass(frozen=True)
class Settlement:
    """How a run ends: the task's next state and what becomes of its queue entry."""

    status: TaskStatus
    outcome: Attempt.Outcome
    entry: Literal["finish", "give_back", "reschedule"]
    events: tuple[NewEvent, ...]
    output: Any = None
    error: TaskError | None = None
    delay: float | None = None  # seconds until the next attempt
    spent: bool = True  # whether the attempt counts
    fingerprint: str = ""  # of the dead letter to file
    also: Callable[[], object] | None = None  # writes what belongs to the end, in its transaction


@dataclass
class Change:
    run: Run
    checkpoints: list[NewCheckpoint] = field(default_factory=list)
    events: list[NewEvent] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    settlement: Settlement | None = None
    also: list[Callable[[], object]] = field(default_factory=list)  # writes what belongs to it, in its transaction
    spent: list[Spent] = field(default_factory=list)  # what of `usage` is new, for the budgets
    number: int = 0  # counted from 1 within the run, so that none is written twice; 0: whoever hands it in takes care


def complete(run: Run, output: Any, also: Callable[[], object] | None = None) -> Settlement:
    """running -> completed."""
    event = NewEvent(EventType.EXECUTION_COMPLETED, {"attempt": run.attempt})
    return Settlement(TaskStatus.COMPLETED, Attempt.Outcome.COMPLETED, "finish", (event,), output=output, also=also)


def fail(run: Run, error: TaskError) -> Settlement:
    """running -> failed, for good; filed with the dead letters."""
    payload = {"attempt": run.attempt, "error": error.as_json()}
    fingerprint = error.fingerprint(run.agent)
    events = (
        NewEvent(EventType.EXECUTION_FAILED, payload),
        NewEvent(EventType.DEAD_LETTERED, {"fingerprint": fingerprint, "error": error.as_json()}),
    )
    return Settlement(TaskStatus.FAILED, Attempt.Outcome.FAILED, "finish", events, error=error, fingerprint=fingerprint)


def retry_later(run: Run, error: TaskError, delay: float) -> Settlement:
    """running -> pending, to be tried again in `delay` seconds."""
    payload = {"attempt": run.attempt, "error": error.as_json(), "delay_seconds": round(delay, 3)}
    event = NewEvent(EventType.RETRY_SCHEDULED, payload)
    return Settlement(TaskStatus.PENDING, Attempt.Outcome.FAILED, "reschedule", (event,), error=error, delay=delay)


def cancelled(run: Run) -> Settlement:
    """running -> cancelled, once the work has really stopped."""
    event = NewEvent(EventType.EXECUTION_CANCELLED, {"attempt": run.attempt})
    return Settlement(TaskStatus.CANCELLED, Attempt.Outcome.CANCELLED, "finish", (event,))


def hand_back(run: Run) -> Settlement:
    """running -> pending, because the worker stops; the attempt is not spent."""
    event = NewEvent(EventType.EXECUTION_PAUSED, {"attempt": run.attempt, "reason": "the worker is stopping"})
    return Settlement(TaskStatus.PENDING, Attempt.Outcome.RELEASED, "give_back", (event,), spent=False)


def put_off(run: Run, reason: str, delay: float) -> Settlement:
    """running -> pending, for `delay` seconds, because it may not go on before; the attempt is not spent."""
    payload = {"attempt": run.attempt, "reason": reason, "delay_seconds": delay}
    event = NewEvent(EventType.EXECUTION_PAUSED, payload)
    return Settlement(TaskStatus.PENDING, Attempt.Outcome.RELEASED, "reschedule", (event,), delay=delay, spent=False)


def wait_for_person(run: Run, reason: str, asked: Sequence[NewEvent], also: Callable[[], object]) -> Settlement:
    """running -> input_required, until people have decided what `also` writes down; the attempt is not spent.

    The task holds nothing while it waits: `apps.tasks.lifecycle.resume` queues it again.
    """
    payload = {"attempt": run.attempt, "reason": reason, "waits_for_person": True}
    events = (NewEvent(EventType.EXECUTION_PAUSED, payload), *asked)
    return Settlement(TaskStatus.INPUT_REQUIRED, Attempt.Outcome.PAUSED, "finish", events, spent=False, also=also)


def commit(app: App, changes: Sequence[Change]) -> Sequence[LostLease | None]:
    """Writes the changes, inside the App and a transaction; one outcome each, LostLease for those that were refused.

    Changes of one run come in order and count as one. One that was committed already, the answer having been lost, is
    not written again.
    """
    owners, written = _look(app, changes)

    def is_new(change: Change) -> bool:
        return not change.number or change.number > written.get(_key(change), 0)

    merged = _merged([change for change in changes if is_new(change)])
    lost = {key for key, change in merged.items() if owners.get(key) != change.run.lease.worker_id}
    lost |= _with_a_gap(changes, written)
    _settle_entries([change for change in changes if change.settlement and not is_new(change)])
    kept = {key: change for key, change in merged.items() if key not in lost}
    ending = [change for change in kept.values() if change.settlement]
    ongoing = [change for change in kept.values() if not change.settlement]
    if not _settle_entries(ending):  # lost between the look and now: undo all; each is tried again by itself
        raise LostLease
    _write_ongoing(ongoing)
    _write_ended(ending)
    _write_checkpoints(kept.values())
    append_events(
        [
            (change.run.task_id, back, event)
            for change in kept.values()
            for event, back in zip(_events(change), reversed(range(len(_events(change)))), strict=True)
        ]
    )
    for change in sorted(kept.values(), key=lambda change: str(change.run.session)):  # all lock sessions in one order
        for write in change.also:
            write()
        if change.settlement and change.settlement.also:
            change.settlement.also()
    _count_spent(app, [one for change in kept.values() for one in change.spent])
    _reach_points(kept.values())
    return [LostLease() if _key(change) in lost and is_new(change) else None for change in changes]


def _count_spent(app: App, spent: Sequence[Spent]) -> None:
    """Last of all: others who count wait for the commit."""
    if spent:
        counting.spend(app, spent)
        reach(Point.USAGE_COUNTED)


def _with_a_gap(changes: Sequence[Change], written: dict[Key, int]) -> set[Key]:
    """The runs with a change whose predecessor is neither written nor here: its write had failed."""
    here = {(_key(change), change.number) for change in changes}
    return {key for key, number in here if number > written.get(key, 0) + 1 and (key, number - 1) not in here}


def _reach_points(changes: Iterable[Change]) -> None:
    for change in changes:
        if change.checkpoints:
            reach(Point.CHECKPOINT_WRITES)
        if change.settlement:
            reach(_point(change.settlement))


def _point(end: Settlement) -> Point:
    if end.status == TaskStatus.INPUT_REQUIRED:
        return Point.APPROVAL_WRITES
    return Point.RETRY_WRITES if end.entry == "reschedule" else Point.SETTLEMENT_WRITES


def _key(change: Change) -> Key:
    return change.run.task_id, change.run.epoch


def _merged(changes: Sequence[Change]) -> dict[Key, Change]:
    merged: dict[Key, Change] = {}
    for change in changes:
        if (whole := merged.get(_key(change))) is None:
            merged[_key(change)] = replace(
                change,
                checkpoints=[*change.checkpoints],
                events=[*change.events],
                also=[*change.also],
                spent=[*change.spent],
            )
            continue
        whole.checkpoints += change.checkpoints
        whole.events += change.events
        whole.also += change.also
        whole.spent += change.spent
        whole.usage = change.usage or whole.usage
        whole.settlement = change.settlement or whole.settlement
        whole.number = max(whole.number, change.number)
    return merged


def _look(app: App, changes: Sequence[Change]) -> tuple[dict[Key, int | None], dict[Key, int]]:
    """By task and epoch: the worker that owns the run, and the number of the last change that was written.

    The tasks' rows stay locked until the commit.
    """
    tasks = {change.run.task_id for change in changes}
    lock = "FOR UPDATE OF task" if sql.is_postgresql() else ""
    # The queue entry decides: its lease names the worker and the epoch. `queue_entry_key` serves the join.
    rows = sql.fetch(
        f"SELECT task.id, task.epoch, task.last_change,"
        f" CASE WHEN task.status = 'running' AND entry.state = 'leased' THEN entry.worker_id END"
        f" FROM tasks_task task LEFT JOIN queue_queueentry entry"
        f" ON entry.app_id = %s AND entry.kind = 'task' AND entry.key = task.id AND entry.epoch = task.epoch"
        f" WHERE task.id IN ({sql.placeholders(len(tasks))}) ORDER BY task.id {lock}",
        [app.pk, *(sql.uid(task_id) for task_id in tasks)],
    )
    keyed = [((sql.as_uuid(task_id), epoch), last, worker) for task_id, epoch, last, worker in rows]
    return {key: worker for key, _, worker in keyed}, {key: last for key, last, _ in keyed}


def _events(change: Change) -> list[NewEvent]:
    return [*change.events, *(change.settlement.events if change.settlement else ())]


def _bytes(change: Change) -> int:
    return sum(new.stored.size for new in change.checkpoints)


def _settle_entries(ending: Sequence[Change]) -> bool:
    """Ends the leases; whether all of them were still owned."""
    by_fate: dict[str, list[Change]] = {}
    for change in ending:
        assert change.settlement is not None
        by_fate.setdefault(change.settlement.entry, []).append(change)
    owned = leases.finish([change.run.lease for change in by_fate.get("finish", ())])
    owned |= leases.give_back([change.run.lease for change in by_fate.get("give_back", ())])
    for change in by_fate.get("reschedule", ()):
        assert change.settlement is not None and change.settlement.delay is not None
        if leases.reschedule(change.run.lease, change.settlement.delay):
            owned.add(change.run.lease.id)
    return len(owned) == len(ending)


def _write_ongoing(changes: Sequence[Change]) -> None:
    sql.execute_batch(
        {"task": "uuid", "number": "int", "events": "int", "checkpoints": "int", "bytes": "int", "used": "jsonb"},
        [
            (
                sql.uid(change.run.task_id),
                change.number,
                len(_events(change)),
                len(change.checkpoints),
                _bytes(change),
                _json(change.usage),
            )
            for change in changes
        ],
        "UPDATE tasks_task SET last_change = number, last_seq = last_seq + events,"
        " last_checkpoint = last_checkpoint + checkpoints,"
        " checkpoint_bytes = checkpoint_bytes + bytes, usage = COALESCE(used, usage)"
        " FROM batch WHERE tasks_task.id = batch.task",
    )


def _write_ended(changes: Sequence[Change]) -> None:
    ended = [(change, change.settlement) for change in changes if change.settlement]
    _write_attempts(ended)
    sql.execute_batch(
        {
            "task": "uuid",
            "state": "text",
            "result": "jsonb",
            "fault": "jsonb",
            "used": "jsonb",
            "attempts": "int",
            "delay": "float8",
            "over": "bool",
            "waits": "bool",
            "number": "int",
            "events": "int",
            "checkpoints": "int",
            "bytes": "int",
        },
        [
            (
                sql.uid(change.run.task_id),
                end.status.value,
                _json(end.output),
                _json(_fault(end)),
                _json(change.usage),
                change.run.attempt if end.spent else change.run.attempt - 1,
                end.delay,
                end.status in FINAL,
                end.status == TaskStatus.INPUT_REQUIRED,
                change.number,
                len(_events(change)),
                len(change.checkpoints),
                _bytes(change),
            )
            for change, end in ended
        ],
        f"UPDATE tasks_task SET status = state, output = result, error = fault, usage = COALESCE(used, usage),"
        f" attempt = attempts, next_attempt_at = {sql.later('delay')},"
        f" finished_at = CASE WHEN over THEN {sql.now()} END, waiting_since = CASE WHEN waits THEN {sql.now()} END,"
        f" worker = '', attempt_started_at = NULL,"
        f" ran_seconds = ran_seconds + COALESCE({sql.seconds_since('attempt_started_at')}, 0),"
        f" last_change = number, last_seq = last_seq + events, last_checkpoint = last_checkpoint + checkpoints,"
        f" checkpoint_bytes = checkpoint_bytes + bytes FROM batch WHERE tasks_task.id = batch.task",
    )
    sql.execute_batch(
        {"task": "uuid", "what": "text", "print": "text", "fault": "jsonb"},
        [
            (sql.uid(change.run.task_id), end.error.code[:100], end.fingerprint, _json(_fault(end)))
            for change, end in ended
            if end.fingerprint and end.error
        ],
        f"INSERT INTO tasks_deadletter (task_id, agent, code, fingerprint, error, status, last_checkpoint, entered_at)"
        f" SELECT task.id, agent, what, print, fault, 'open', last_checkpoint, {sql.now()}"
        f" FROM batch JOIN tasks_task task ON task.id = batch.task",
    )


def _write_attempts(ended: Sequence[tuple[Change, Settlement]]) -> None:
    """The attempts that end here; read from the task's row before that is cleared."""
    sql.execute_batch(
        {"task": "uuid", "result": "text", "fault": "jsonb", "trace": "text"},
        [
            (
                sql.uid(change.run.task_id),
                end.outcome.value,
                _json(_fault(end)),
                end.error.traceback if end.error else "",
            )
            for change, end in ended
        ],
        f"INSERT INTO tasks_attempt"
        f" (task_id, number, outcome, error, traceback, worker, epoch, started_at, finished_at)"
        f" SELECT task.id, attempt, result, fault, trace, worker, epoch, attempt_started_at, {sql.now()}"
        f" FROM batch JOIN tasks_task task ON task.id = batch.task",
    )


def add_checkpoint(task_id: UUID, new: NewCheckpoint) -> None:
    """Adds to the journal of a task that nobody runs, inside the transaction that keeps it so."""
    sql.execute(
        "UPDATE tasks_task SET last_checkpoint = last_checkpoint + 1, checkpoint_bytes = checkpoint_bytes + %s"
        " WHERE id = %s",
        [new.stored.size, sql.uid(task_id)],
    )
    _insert_checkpoints([(task_id, 0, new)])


def _write_checkpoints(changes: Iterable[Change]) -> None:
    _insert_checkpoints(
        [
            (change.run.task_id, len(change.checkpoints) - 1 - index, new)
            for change in changes
            for index, new in enumerate(change.checkpoints)
        ]
    )


def _insert_checkpoints(rows: Sequence[tuple[UUID, int, NewCheckpoint]]) -> None:
    """Each comes with its place counted back from its task's `last_checkpoint`, which counts it already."""
    no = "FALSE" if sql.is_postgresql() else "0"
    sql.execute_batch(
        {
            "task": "uuid",
            "back": "int",
            "what": "text",
            "name": "text",
            "content": "jsonb",
            "squeezed": "bytea",
            "bytes": "int",
        },
        [(sql.uid(task_id), back, new.kind.value, new.key, *new.stored) for task_id, back, new in rows],
        f"INSERT INTO tasks_checkpoint (task_id, seq, kind, key, value, packed, size, set_aside, epoch, created_at)"
        f" SELECT task.id, last_checkpoint - back, what, name, content, squeezed, bytes, {no}, epoch, {sql.now()}"
        f" FROM batch JOIN tasks_task task ON task.id = batch.task",
    )


def _fault(end: Settlement) -> dict[str, Any] | None:
    return end.error.as_json() if end.error else None


def _json(value: Any) -> str | None:
    return None if value is None else sql.js(value)
