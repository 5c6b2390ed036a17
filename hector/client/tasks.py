"""Tasks: submitting, waiting, reading, following, deciding what becomes of them."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from hector.client.calls import (
    Call,
    Group,
    Page,
    Pause,
    Record,
    Steps,
    Stream,
    flow,
    following,
    given,
    listing,
    operation,
    path,
)
from hector.client.connection import Async, Sync
from hector.client.errors import NotFinished

C = TypeVar("C", Sync, Async)
LONGEST_HOLD = 60.0  # seconds that Hector holds an answer back at most (`Prefer: wait`)
FINAL = frozenset({"completed", "failed", "cancelled"})


class TaskError(Record):
    """Why a task or an attempt did not succeed."""

    code: str
    message: str
    retryable: bool


class Usage(Record):
    """What a task has used of models."""

    requests: int
    input_tokens: int
    output_tokens: int
    cost_usd: str


class OpenApproval(Record):
    """What a task waits for; `approvals.get` has the whole."""

    id: str
    kind: str
    tool: str
    arguments: dict[str, Any]
    prompt: str
    requested_at: datetime
    expires_at: datetime | None


class Task(Record):
    """A task as it was when Hector answered."""

    id: str
    agent: str
    agent_version: str
    session: str | None
    isolation: str | None
    entry_point: str | None
    status: str
    input: dict[str, Any]
    output: Any
    error: TaskError | None
    priority: int
    tags: list[str]
    metadata: dict[str, Any]
    attempt: int
    max_retries: int
    next_attempt_at: datetime | None
    deadline: datetime | None
    usage: Usage
    approvals: list[OpenApproval]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    forked_from: str | None
    forked_at_checkpoint: int | None
    checkpoint_bytes: int
    caused_by: str | None

    @property
    def ended(self) -> bool:
        """Nothing happens to it any more, unless somebody retries it."""
        return self.status in FINAL

    @property
    def rests(self) -> bool:
        """It has ended, or waits for a person."""
        return self.ended or self.status == "input_required"


class ToolCall(Record):
    tool: str
    call: str


class SetAside(Record):
    """What a retry or a fork does not go on from."""

    model_turns: int
    tool_calls: list[ToolCall]


class Replay(Record):
    """What a retry or a fork does again."""

    from_checkpoint: int | None
    tool_calls: list[ToolCall]
    in_doubt: list[ToolCall]
    set_aside: SetAside
    summary: str


class TaskAgain(Task):
    """A task that was retried or forked."""

    replay: Replay


class Event(Record):
    """Something that happened. The events of a task are numbered from 1."""

    seq: int | None
    type: str
    payload: dict[str, Any]
    actor: str
    at: datetime


class Attempt(Record):
    """An attempt that has ended."""

    number: int
    outcome: str
    error: TaskError | None
    worker: str
    started_at: datetime | None
    finished_at: datetime
    traceback: str = ""


class Checkpoint(Record):
    """An entry of a task's journal."""

    seq: int
    kind: str
    key: str
    value: Any
    size: int
    omitted: bool
    set_aside: bool
    resumable: bool
    created_at: datetime


class Tasks(Group[C]):
    @operation("submit_task")
    def submit(
        self,
        agent: str,
        input: str | Mapping[str, Any],
        *,
        session: str | None = None,
        isolation: str | None = None,
        priority: int | None = None,
        run_at: datetime | None = None,
        timeout_seconds: float | None = None,
        deadline: datetime | None = None,
        max_retries: int | None = None,
        tags: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        unique_key: str | None = None,
        unique_scope: str | None = None,
        unique_period: float | str | None = None,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Call[Task]:
        """Submits a task; once this has answered, no crash loses it.

        `wait`: the seconds (60 at most) that the answer may be held back for the task to rest. `idempotency_key`:
        sent again with it, nothing is done twice; left out, the client makes one, so that its own tries make one task.
        """
        body = given(
            agent=agent,
            input=input,
            session=session,
            isolation=isolation,
            priority=priority,
            run_at=run_at,
            timeout_seconds=timeout_seconds,
            deadline=deadline,
            max_retries=max_retries,
            tags=tags,
            metadata=metadata,
            unique_key=unique_key,
            unique_scope=unique_scope,
            unique_period=unique_period,
        )
        return submission(body, idempotency_key, wait)

    @flow
    def run(
        self, agent: str, input: str | Mapping[str, Any], *, timeout: float | None = None, session: str | None = None
    ) -> Steps[Task]:
        """Submits a task and waits until it has ended. Raises NotFinished after `timeout` seconds; the task goes on."""
        begun = time.monotonic()
        hold = LONGEST_HOLD if timeout is None else min(timeout, LONGEST_HOLD)
        task = yield submission(given(agent=agent, input=input, session=session), None, hold)
        left = None if timeout is None else timeout - (time.monotonic() - begun)
        return (yield from _until_ended(task.id, left))

    @flow
    def wait(self, id: str, timeout: float | None = None) -> Steps[Task]:
        """Waits until the task has ended.

        Raises NotFinished after `timeout` seconds, NotFound for a task that is unknown, and NoLongerKept for one that
        retention has removed.
        """
        return (yield from _until_ended(id, timeout))

    @listing("list_tasks")
    def list(
        self,
        *,
        status: str | Sequence[str] | None = None,
        agent: str | None = None,
        session: str | None = None,
        tag: str | None = None,
        entry_point: str | None = None,
        forked_from: str | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
        q: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[Task]]:
        """Tasks, the newest first; `limit` is how many are fetched at a time."""
        query = given(
            status=status,
            agent=agent,
            session=session,
            tag=tag,
            entry_point=entry_point,
            forked_from=forked_from,
            created_after=created_after,
            created_before=created_before,
            q=q,
            limit=limit,
        )
        return Call(Page[Task], "GET", "/tasks", query)

    @operation("get_task")
    def get(self, id: str) -> Call[Task]:
        return _get(id)

    @listing("list_task_events")
    def events(self, id: str, *, limit: int | None = None) -> Call[Page[Event]]:
        """What has happened so far, the oldest first."""
        return Call(Page[Event], "GET", path("/tasks/{}/events", id), given(limit=limit))

    @following
    def follow(self, id: str, *, after: int = 0) -> Stream[Event]:
        """What has happened and what happens, until the task has ended; `after` is the `seq` to go on from.

        A stream that is cut off is taken up again, without a gap and without a repetition.
        """
        return Stream(Event, path("/tasks/{}/events", id), after)

    @listing("list_task_attempts")
    def attempts(self, id: str, *, limit: int | None = None) -> Call[Page[Attempt]]:
        return Call(Page[Attempt], "GET", path("/tasks/{}/attempts", id), given(limit=limit))

    @listing("list_task_checkpoints")
    def checkpoints(self, id: str, *, limit: int | None = None) -> Call[Page[Checkpoint]]:
        """The journal, the oldest entry first. A value of more than 64 KiB is `omitted`; `checkpoint` has it."""
        return Call(Page[Checkpoint], "GET", path("/tasks/{}/checkpoints", id), given(limit=limit))

    @operation("get_task_checkpoint")
    def checkpoint(self, id: str, seq: int) -> Call[Checkpoint]:
        return Call(Checkpoint, "GET", path("/tasks/{}/checkpoints/{}", id, seq))

    @operation("cancel_task")
    def cancel(self, id: str, *, reason: str | None = None) -> Call[Task]:
        """Cancels a task. A running one says `cancelled` once its work has really stopped."""
        return Call(Task, "POST", path("/tasks/{}/cancel", id), body=given(reason=reason))

    @operation("retry_task")
    def retry(
        self,
        id: str,
        *,
        input: str | Mapping[str, Any] | None = None,
        from_checkpoint: int | None = None,
        reason: str | None = None,
    ) -> Call[TaskAgain]:
        """Runs a failed or cancelled task again, from its journal or from the start."""
        body = given(input=input, from_checkpoint=from_checkpoint, reason=reason)
        return Call(TaskAgain, "POST", path("/tasks/{}/retry", id), body=body)

    @operation("fork_task")
    def fork(
        self,
        id: str,
        *,
        from_checkpoint: int | None = None,
        input: str | Mapping[str, Any] | None = None,
        agent_version: str | None = None,
        reason: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[TaskAgain]:
        """Makes a new task that begins as this one did."""
        body = given(from_checkpoint=from_checkpoint, input=input, agent_version=agent_version, reason=reason)
        headers = {"Idempotency-Key": idempotency_key or _new_key()}
        return Call(TaskAgain, "POST", path("/tasks/{}/fork", id), body=body, headers=headers, repeatable=True)

    @operation("approve_task")
    def approve(
        self,
        id: str,
        *,
        comment: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        approval: str | None = None,
    ) -> Call[Task]:
        """Approves all that the task waits for, or one `approval` of it."""
        body = given(comment=comment, arguments=arguments, approval=approval)
        return Call(Task, "POST", path("/tasks/{}/approve", id), body=body)

    @operation("reject_task")
    def reject(
        self,
        id: str,
        *,
        comment: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        approval: str | None = None,
    ) -> Call[Task]:
        """Rejects all that the task waits for, or one `approval` of it."""
        body = given(comment=comment, arguments=arguments, approval=approval)
        return Call(Task, "POST", path("/tasks/{}/reject", id), body=body)


def submission(body: dict[str, Any], key: str | None, wait: float | None, *, to: str = "/tasks") -> Call[Task]:
    """A request that makes a task, and that the client may send again."""
    headers = {"Idempotency-Key": key or _new_key()}
    if wait is not None:
        headers["Prefer"] = f"wait={max(0, round(wait))}"
    return Call(Task, "POST", to, body=body, headers=headers, repeatable=True, patience=wait or 0.0)


def _get(id: str) -> Call[Task]:
    return Call(Task, "GET", path("/tasks/{}", id))


def _new_key() -> str:
    return uuid.uuid4().hex


def _until_ended(id: str, timeout: float | None) -> Steps[Task]:
    """Looks at the task, at first often."""
    begun = time.monotonic()
    for pause in _pauses():
        task: Task = yield _get(id)
        if task.ended:
            return task
        left = pause if timeout is None else timeout - (time.monotonic() - begun)
        if timeout is not None and left <= 0:
            raise NotFinished(id, task.status, timeout)
        yield Pause(min(pause, left))
    raise AssertionError("there is always another pause")


def _pauses() -> Iterator[float]:
    pause = 0.05
    while True:
        yield pause
        pause = min(1.0, pause * 1.5)
