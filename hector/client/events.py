"""What happens in the App, and saying that something has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

from hector.client.calls import Call, Group, Page, Stream, following, given, listing, operation
from hector.client.connection import Async, Sync
from hector.client.tasks import Event

C = TypeVar("C", Sync, Async)


class EventType(StrEnum):
    """What can happen; docs/api.md tells what each of them says."""

    STATE_CHANGED = "state_changed"
    EXECUTION_STARTED = "execution_started"
    EXECUTION_COMPLETED = "execution_completed"
    EXECUTION_FAILED = "execution_failed"
    EXECUTION_CANCELLED = "execution_cancelled"
    EXECUTION_PAUSED = "execution_paused"
    EXECUTION_RESUMED = "execution_resumed"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_DECIDED = "approval_decided"
    APPROVAL_REMINDED = "approval_reminded"
    APPROVAL_ESCALATED = "approval_escalated"
    APPROVAL_EXPIRED = "approval_expired"
    GRANT_USED = "grant_used"
    GRANT_REVOKED = "grant_revoked"
    RETRY_SCHEDULED = "retry_scheduled"
    FORKED = "forked"
    DEAD_LETTERED = "dead_lettered"
    DEAD_LETTER_DISCARDED = "dead_letter_discarded"
    SESSION_DELETED = "session_deleted"
    OPERATION_STARTED = "operation_started"
    OPERATION_STOPPED = "operation_stopped"
    OPERATION_COMPLETED = "operation_completed"
    NOTIFICATION_DISABLED = "notification_disabled"
    NOTIFICATION_ENABLED = "notification_enabled"
    NOTIFICATION_TESTED = "notification_tested"
    NOTIFICATION_REDELIVERED = "notification_redelivered"
    ENTRY_POINT_PAUSED = "entry_point_paused"
    ENTRY_POINT_RESUMED = "entry_point_resumed"
    TIMER_FIRED = "timer_fired"
    TIMER_SKIPPED = "timer_skipped"
    WEBHOOK_RECEIVED = "webhook_received"
    WEBHOOK_REDELIVERED = "webhook_redelivered"
    EVENT_CHAIN_CUT = "event_chain_cut"
    LLM_STARTED = "llm_started"
    LLM_COMPLETED = "llm_completed"
    TOOL_CALL_STARTED = "tool_call_started"
    TOOL_CALL_COMPLETED = "tool_call_completed"
    CUSTOM = "custom"


class AppEvent(Event):
    """Something that happened in the App; `task`, `agent` and `entry_point` are None where it is of no task."""

    id: int
    task: str | None
    agent: str | None
    entry_point: str | None


class Events(Group[C]):
    @listing("list_events")
    def list(
        self,
        *,
        type: str | Sequence[str] | None = None,
        task: str | None = None,
        agent: str | None = None,
        entry_point: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[AppEvent]]:
        """What has happened, the newest first; `limit` is how many are fetched at a time."""
        query = given(type=type, task=task, agent=agent, entry_point=entry_point, limit=limit)
        return Call(Page[AppEvent], "GET", "/events", query)

    @following
    def follow(
        self,
        *,
        type: str | Sequence[str] | None = None,
        task: str | None = None,
        agent: str | None = None,
        entry_point: str | None = None,
        after: int | None = None,
    ) -> Stream[AppEvent]:
        """What happens, without end: from now on, or all that came after the event whose id is `after`.

        A stream that is cut off is taken up again, without a gap and without a repetition.
        """
        query = urlencode(given(type=type, task=task, agent=agent, entry_point=entry_point), doseq=True)
        return Stream(AppEvent, f"/events?{query}" if query else "/events", after)

    @operation("publish_event")
    def publish(
        self,
        type: str,
        *,
        data: Mapping[str, Any] | None = None,
        task: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[AppEvent]:
        """Says that something has happened; once this has answered, no crash loses it.

        `idempotency_key`: sent again with it, it happens once; left out, the client makes one for its own tries.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return Call(
            AppEvent, "POST", "/events", body=given(type=type, data=data, task=task), headers=headers, repeatable=True
        )
