"""The one record of what happened: event types with the shape of their payloads, and how they are written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import models, transaction

from apps.queue import sql
from apps.tasks import outbox
from apps.tenancy.models import App


class EventType(models.TextChoices):
    """Each type with its payload; a key with `?` may be missing.

    Checkpoints have no type of their own: each is written together with an event that tells of it.
    """

    # {from?: status, to: status, reason?}; `cancel_requested: true` while running.
    # Of a fork {to, forked_from: task}; of one, and of a retry from a checkpoint, what `Replay.as_json` says too.
    # Of its session {session, keys, revision, conflict?: true, overwritten?: [{key, task: that had written it}]}.
    # Of no task: {app | agent: its name, to: paused | resumed, reason?}
    STATE_CHANGED = "state_changed"
    EXECUTION_STARTED = "execution_started"  # {attempt, worker, resumed_from?: checkpoint}
    EXECUTION_COMPLETED = "execution_completed"  # {attempt}
    EXECUTION_FAILED = "execution_failed"  # {attempt, error}
    EXECUTION_CANCELLED = "execution_cancelled"  # {attempt, reason?}
    EXECUTION_PAUSED = "execution_paused"  # {attempt, reason, waits_for_person?: true}; else its worker stops
    EXECUTION_RESUMED = "execution_resumed"  # {waited_seconds}: people have decided all that it waited for
    APPROVAL_REQUESTED = "approval_requested"  # {approval, kind, tool, call, policy?: name}
    # {approval, kind, tool, call, policy?, decision, comment?, changed?: true (the arguments), grant?: its id,
    # missing?: how many more have to agree}
    APPROVAL_DECIDED = "approval_decided"
    APPROVAL_REMINDED = "approval_reminded"  # {approval, kind, tool, call, policy?}
    APPROVAL_ESCALATED = "approval_escalated"  # the same: of the policy that asks now
    APPROVAL_EXPIRED = "approval_expired"  # {approval, kind, tool, call, policy?, outcome: approve | reject | fail}
    GRANT_USED = "grant_used"  # {grant, tool, call}: the call needed no approval of its own
    GRANT_REVOKED = "grant_revoked"  # {grant, agent, tool, reason?}; of no task
    RETRY_SCHEDULED = "retry_scheduled"  # {attempt, error, delay_seconds}
    FORKED = "forked"  # {task, from_checkpoint: or null, reason?}: that task was made from this one
    DEAD_LETTERED = "dead_lettered"  # {fingerprint, error}
    DEAD_LETTER_DISCARDED = "dead_letter_discarded"  # {fingerprint, reason?}
    SESSION_DELETED = "session_deleted"  # {agent, session, turns, reason?}; of no task
    OPERATION_STARTED = "operation_started"  # {operation, verb, total, filter}; of no task
    OPERATION_STOPPED = "operation_stopped"  # {operation, reason?}; of no task
    OPERATION_COMPLETED = "operation_completed"  # {operation, done, skipped, failed}; of no task
    NOTIFICATION_DISABLED = "notification_disabled"  # {channel, reason}: given up after failures; of no task, like …
    NOTIFICATION_ENABLED = "notification_enabled"  # {channel, reason?}
    NOTIFICATION_TESTED = "notification_tested"  # {channel, delivery}
    NOTIFICATION_REDELIVERED = "notification_redelivered"  # {channel, total, delivery? or since?, reason?}
    ENTRY_POINT_PAUSED = "entry_point_paused"  # {entry_point: or null (all timers), reason?}; of no task, like …
    ENTRY_POINT_RESUMED = "entry_point_resumed"  # {entry_point: or null (all timers), reason?}
    TIMER_FIRED = "timer_fired"  # {entry_point, firing, scheduled_for}
    TIMER_SKIPPED = "timer_skipped"  # {entry_point, firing, scheduled_for, reason}; of no task
    # {entry_point, firing, reason?: why there is no task}; of no task then, like …
    WEBHOOK_RECEIVED = "webhook_received"
    WEBHOOK_REDELIVERED = "webhook_redelivered"  # {entry_point, delivery, redelivery, reason?}
    EVENT_CHAIN_CUT = "event_chain_cut"  # {entry_point, firing, reason}: an event of the task started nothing
    LLM_STARTED = "llm_started"  # {request, model}
    LLM_COMPLETED = "llm_completed"  # {request, model, input_tokens?, output_tokens?, cost_usd?, seconds, error?}
    TOOL_CALL_STARTED = "tool_call_started"  # {tool, call, arguments, approval?: that let it run}
    TOOL_CALL_COMPLETED = "tool_call_completed"  # {tool, call, seconds, error?}
    CUSTOM = "custom"  # {name, data}: somebody says so (`publish`)


NAMED = f"{EventType.CUSTOM}."  # what a custom event's name follows, where types of events are asked for
_NAME = re.compile(r"[a-z][a-z0-9_.-]{0,63}")


def is_custom_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def is_type(text: str) -> bool:
    """Whether events can be asked for by this: a type, or `custom.NAME`."""
    return text in EventType.values or (text.startswith(NAMED) and is_custom_name(text.removeprefix(NAMED)))


@dataclass(frozen=True)
class NewEvent:
    type: EventType
    payload: dict[str, Any] = field(default_factory=dict)
    actor: str = ""  # who did it; "" is the system


def append_events(events: Sequence[tuple[UUID, int, NewEvent]]) -> list[int]:
    """Writes events of tasks whose `last_seq` was raised in this transaction; their ids.

    Each comes with its place counted back from `last_seq`: 0 is the last one. Numbering by the task's own row, which
    the transaction holds, is what makes `seq` gapless without another lock.
    """
    written = sql.fetch_batch(
        {"n": "int", "task": "uuid", "back": "int", "kind": "text", "content": "jsonb", "who": "text"},
        [
            (number, sql.uid(task), back, event.type.value, sql.js(event.payload), event.actor)
            for number, (task, back, event) in enumerate(events)
        ],
        f"INSERT INTO tasks_event (task_id, seq, type, payload, actor, at, unread)"
        f" SELECT task.id, task.last_seq - back, kind, content, who, {sql.now()}, {outbox.is_wanted('kind')}"
        f" FROM batch JOIN tasks_task task ON task.id = batch.task ORDER BY n RETURNING unread, id",
    )
    return _handed_over(written)


def record(task_id: UUID, *events: NewEvent) -> list[int]:
    """Writes events of one task, inside the transaction that makes them true; their ids."""
    sql.execute("UPDATE tasks_task SET last_seq = last_seq + %s WHERE id = %s", [len(events), sql.uid(task_id)])
    return append_events(
        [(task_id, back, event) for event, back in zip(events, reversed(range(len(events))), strict=True)]
    )


def record_each(events: Sequence[tuple[UUID, NewEvent]]) -> None:
    """Writes one event for each of several tasks, inside the transaction that makes them true."""
    if events:
        ids = [sql.uid(task) for task, _ in events]
        sql.execute(f"UPDATE tasks_task SET last_seq = last_seq + 1 WHERE id IN ({sql.placeholders(len(ids))})", ids)
        append_events([(task, 0, event) for task, event in events])


def announce(*events: NewEvent) -> list[int]:
    """Writes events that are of no task, inside the App and the transaction that makes them true; their ids."""
    written = sql.fetch_batch(
        {"n": "int", "kind": "text", "content": "jsonb", "who": "text"},
        [(number, event.type.value, sql.js(event.payload), event.actor) for number, event in enumerate(events)],
        f"INSERT INTO tasks_event (type, payload, actor, at, unread)"
        f" SELECT kind, content, who, {sql.now()}, {outbox.is_wanted('kind')} FROM batch ORDER BY n"
        f" RETURNING unread, id",
    )
    return _handed_over(written)


def _handed_over(written: Sequence[tuple[Any, ...]]) -> list[int]:
    """Sees to it that events (unread, id) that were written just now are handed over; their ids."""
    outbox.queue_if([unread for unread, _ in written])
    return [id for _, id in written]


def publish(name: str, data: dict[str, Any], *, by: str, task: UUID | None = None) -> int:
    """Writes that something happened which Hector knows nothing of, inside the App; the event's id.

    Where it is of a task, it stands in that one's timeline, and what it starts counts as started by that task.
    """
    event = NewEvent(EventType.CUSTOM, {"name": name, "data": data}, by)
    with transaction.atomic():
        [id] = announce(event) if task is None else record(task, event)
    return id


def record_hold(app: App, lane: str, what: str, by: str, reason: str) -> None:
    """Writes that the App, or one of its agents (the lane), was paused or resumed; inside the App."""
    payload = {**({"agent": lane} if lane else {"app": app.name}), "to": what, **({"reason": reason} if reason else {})}
    announce(NewEvent(EventType.STATE_CHANGED, payload, by))
