"""What has failed for good, until somebody has looked after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from hector.client.calls import Call, Group, Page, Record, given, listing, operation, path
from hector.client.connection import Async, Sync
from hector.client.tasks import Attempt, Task, TaskError

C = TypeVar("C", Sync, Async)


class DeadLetter(Record):
    id: int
    task: str
    agent: str
    fingerprint: str
    error: TaskError
    attempts: list[Attempt]
    last_checkpoint: int
    status: str
    entered_at: datetime
    resolved_at: datetime | None
    resolved_by: str
    reason: str


class DeadLetterSample(Record):
    id: int
    task: str
    error: TaskError
    entered_at: datetime


class DeadLetterGroup(Record):
    """Letters whose errors differ only in numbers and ids."""

    fingerprint: str
    agent: str
    code: str
    count: int
    first_seen: datetime
    last_seen: datetime
    sample: DeadLetterSample


class Operation(Record):
    """Many letters at once; the workers carry it out."""

    id: str
    action: str
    status: str
    filter: dict[str, Any]
    actor: str
    total: int
    done: int
    skipped: int
    failed: int
    waiting: int
    gone: int
    stopped_by: str
    stop_reason: str
    created_at: datetime
    finished_at: datetime | None


class OperationItem(Record):
    """What became of one letter."""

    dead_letter: int
    task: str
    outcome: str
    detail: str
    at: datetime | None


class DeadLetters(Group[C]):
    @listing("list_dead_letters")
    def list(
        self,
        *,
        status: str | None = None,
        fingerprint: str | None = None,
        agent: str | None = None,
        code: str | None = None,
        entered_after: datetime | None = None,
        entered_before: datetime | None = None,
        limit: int | None = None,
    ) -> Call[Page[DeadLetter]]:
        query = _filter(status, fingerprint, agent, code, entered_after, entered_before, limit)
        return Call(Page[DeadLetter], "GET", "/dead-letters", query)

    @listing("list_dead_letter_groups")
    def groups(
        self,
        *,
        status: str | None = None,
        fingerprint: str | None = None,
        agent: str | None = None,
        code: str | None = None,
        entered_after: datetime | None = None,
        entered_before: datetime | None = None,
        limit: int | None = None,
    ) -> Call[Page[DeadLetterGroup]]:
        query = _filter(status, fingerprint, agent, code, entered_after, entered_before, limit)
        return Call(Page[DeadLetterGroup], "GET", "/dead-letters/groups", query)

    @operation("retry_dead_letter")
    def retry(self, id: int, *, input: str | Mapping[str, Any] | None = None, reason: str | None = None) -> Call[Task]:
        return Call(Task, "POST", path("/dead-letters/{}/retry", id), body=given(input=input, reason=reason))

    @operation("discard_dead_letter")
    def discard(self, id: int, *, reason: str | None = None) -> Call[DeadLetter]:
        return Call(DeadLetter, "POST", path("/dead-letters/{}/discard", id), body=given(reason=reason))

    @operation("resolve_dead_letters")
    def resolve(
        self,
        action: str,
        *,
        ids: Sequence[int] | None = None,
        fingerprint: str | None = None,
        agent: str | None = None,
        code: str | None = None,
        entered_after: datetime | None = None,
        entered_before: datetime | None = None,
        all: bool | None = None,
        count: int | None = None,
        canary: bool | None = None,
        input: str | Mapping[str, Any] | None = None,
        reason: str | None = None,
    ) -> Call[Operation]:
        """Retries or discards those named by `ids`, or all open ones that fit; `count` is how many you expect."""
        body = given(
            action=action,
            ids=ids,
            fingerprint=fingerprint,
            agent=agent,
            code=code,
            entered_after=entered_after,
            entered_before=entered_before,
            all=all,
            count=count,
            canary=canary,
            input=input,
            reason=reason,
        )
        return Call(Operation, "POST", "/dead-letters/bulk", body=body)

    @listing("list_operation_items")
    def items(self, id: str, *, outcome: str | None = None, limit: int | None = None) -> Call[Page[OperationItem]]:
        query = given(outcome=outcome, limit=limit)
        return Call(Page[OperationItem], "GET", path("/dead-letters/operations/{}/items", id), query)

    @operation("stop_operation")
    def stop(self, id: str, *, reason: str | None = None) -> Call[Operation]:
        """Stops an operation: once this has answered, nothing more is done."""
        return Call(Operation, "POST", path("/dead-letters/operations/{}/stop", id), body=given(reason=reason))

    @operation("get_operation")
    def progress(self, id: str) -> Call[Operation]:
        """How far an operation has come."""
        return Call(Operation, "GET", path("/dead-letters/operations/{}", id))


def _filter(
    status: str | None,
    fingerprint: str | None,
    agent: str | None,
    code: str | None,
    entered_after: datetime | None,
    entered_before: datetime | None,
    limit: int | None,
) -> dict[str, Any]:
    return given(
        status=status,
        fingerprint=fingerprint,
        agent=agent,
        code=code,
        entered_after=entered_after,
        entered_before=entered_before,
        limit=limit,
    )
