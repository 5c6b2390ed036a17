"""A task and its record: attempts, checkpoints, events, dead letters (App schema).

State changes only through `apps.tasks.lifecycle` and `apps.tasks.journal`; the constraints here refuse rows that cannot
be.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from apps.tenancy.payloads import HIDDEN, ErrorPayload, EventPayload, Payload, PayloadBytes, PayloadText, hidden


class TaskStatus(models.TextChoices):
    PENDING = "pending"
    RUNNING = "running"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


LIVE = (TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.INPUT_REQUIRED)
FINAL = (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED)


class UniqueScope(models.TextChoices):
    """How long a task's `unique_key` keeps other tasks with the same key out."""

    PENDING = "pending"  # until it first starts
    ACTIVE = "active"  # until it has ended
    PERIOD = "period"  # until a time (`UniquePeriod`)


class Isolation(models.TextChoices):
    """What a task of a session shares with the others of its agent and session (`apps.sessions`)."""

    ISOLATED = "isolated"  # its own copy of what the session has; nobody sees what it does
    SHARED = "shared"  # reads and writes; of two who write the same, the last one wins


def no_usage() -> dict[str, Any]:
    return {"requests": 0, "input_tokens": 0, "output_tokens": 0, "cost_usd": "0"}


class Task(models.Model):
    """One run of an agent, from its acceptance to its end.

    `epoch` is the queue's: it fences whoever runs the task. `last_seq` numbers its events without gaps.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.CharField(max_length=100)
    agent_version = models.ForeignKey("agents.AgentVersion", on_delete=models.PROTECT, related_name="+")
    session = models.CharField(max_length=200, blank=True, default="")
    isolation = models.CharField(max_length=12, choices=Isolation, blank=True, default="", db_default="")
    entry_point = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001 - null: none, as in the API
    follows = models.UUIDField(null=True)  # the task that was stopped for it: it does not start before that has ended
    status = models.CharField(max_length=16, choices=TaskStatus, default=TaskStatus.PENDING)
    input = Payload()
    output = Payload(null=True)
    error = ErrorPayload(null=True)
    priority = models.SmallIntegerField(default=0)
    tags = models.JSONField(default=list)
    metadata = Payload(default=dict)
    usage = models.JSONField(default=no_usage)

    attempt = models.PositiveIntegerField(default=0)
    max_retries = models.PositiveIntegerField()
    timeout_seconds = models.FloatField(null=True)
    deadline = models.DateTimeField(null=True)
    next_attempt_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    epoch = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=300, default="")  # who runs the current attempt: host:pid
    attempt_started_at = models.DateTimeField(null=True)
    ran_seconds = models.FloatField(default=0)  # what ended attempts took together

    last_seq = models.PositiveIntegerField(default=0)
    last_checkpoint = models.PositiveIntegerField(default=0)
    last_change = models.PositiveIntegerField(default=0, db_default=0)  # of the run's: the last that was written
    journal_start = models.PositiveIntegerField(default=0)  # checkpoints up to this one belong to an earlier input
    checkpoint_bytes = models.PositiveBigIntegerField(default=0, db_default=0)  # of all checkpoints, as JSON
    trace_id = models.CharField(max_length=32, default="")

    waiting_since = models.DateTimeField(null=True)  # while input_required
    waited_seconds = models.FloatField(default=0)  # what earlier waits for people took together
    forked_from = models.ForeignKey("self", null=True, on_delete=models.SET_NULL, related_name="forks")
    forked_at_checkpoint = models.PositiveIntegerField(null=True)  # of the task that it was forked from
    created_by = models.CharField(max_length=200, default="", db_default="")  # who gave it its input
    caused_by = models.UUIDField(null=True)  # the task whose event it is a reaction to, which may be gone by now …
    chain = models.PositiveSmallIntegerField(default=0, db_default=0)  # … at the end of a chain of so many reactions
    unique_key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - null: not unique work
    unique_scope = models.CharField(max_length=8, choices=UniqueScope, default="", blank=True)

    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(status__in=TaskStatus.values), name="task_status_known"),
            models.CheckConstraint(
                condition=Q(status__in=FINAL, finished_at__isnull=False) | Q(status__in=LIVE, finished_at=None),
                name="task_final_is_finished",
            ),
            models.CheckConstraint(
                condition=~Q(status=TaskStatus.FAILED) | Q(error__isnull=False), name="task_failed_has_error"
            ),
            models.CheckConstraint(
                condition=Q(session="", isolation="") | (~Q(session="") & ~Q(isolation="")),
                name="task_isolation_of_session",
            ),
            models.UniqueConstraint(
                fields=["unique_key"],
                condition=Q(unique_scope="pending", status=TaskStatus.PENDING, started_at=None),
                name="task_unique_pending",
            ),
            models.UniqueConstraint(
                fields=["unique_key"], condition=Q(unique_scope="active", status__in=LIVE), name="task_unique_active"
            ),
        ]
        indexes = [
            models.Index(fields=["status", "-id"], name="task_status"),
            models.Index(fields=["agent", "-id"], name="task_agent"),
            models.Index(
                fields=["entry_point", "id"],
                condition=Q(entry_point__isnull=False, status__in=LIVE),
                name="task_entry_point",
            ),
            models.Index(fields=["session", "-id"], condition=~Q(session=""), name="task_session"),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="task_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} {self.id}"


class Attempt(models.Model):
    """One attempt that has ended; the one under way is in the task's `attempt`, `worker` and `attempt_started_at`."""

    class Outcome(models.TextChoices):
        COMPLETED = "completed"
        FAILED = "failed"
        CRASHED = "crashed"
        CANCELLED = "cancelled"
        RELEASED = "released"  # handed back by a worker that stopped, or put off by a budget; spends no retry
        PAUSED = "paused"  # waits for a person; spends no retry

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="attempts")
    number = models.PositiveIntegerField()
    outcome = models.CharField(max_length=10, choices=Outcome)
    error = ErrorPayload(null=True)
    traceback = PayloadText(default="", db_default="")  # for operators only
    worker = models.CharField(max_length=300, default="")
    epoch = models.PositiveIntegerField()
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["task", "epoch"], name="attempt_per_epoch")]


class KeptValue(models.Model):
    """JSON, kept as it is or, if it is large or says what jsonb refuses, compressed (`apps.tasks.checkpoints`)."""

    value = Payload(null=True)
    packed = PayloadBytes(null=True)  # in place of the value: zlib of its JSON
    size = models.PositiveIntegerField(default=0, db_default=0)  # bytes of the value's JSON

    class Meta:
        abstract = True

    @property
    def content(self) -> Any:
        """The value, wherever it is kept."""
        if hidden():
            return HIDDEN
        return self.value if self.packed is None else json.loads(zlib.decompress(self.packed))


class Checkpoint(KeptValue):
    """One entry of a task's journal: append-only, ordered by `seq` within the task.

    `key` names what is recorded: `model:3` (the third model response), `tool:3:call_abc` (a tool call made by it),
    `limit:tokens`, `session`. `epoch` 0: it was copied from the task that this one was forked from.
    """

    class Kind(models.TextChoices):
        MODEL = "model"  # the messages of one model turn
        TOOL_DECIDED = "tool_decided"  # people let a call run: once, with these arguments
        TOOL_STARTED = "tool_started"  # a call that is not idempotent is about to run
        TOOL_RESULT = "tool_result"
        TOOL_FAILED = "tool_failed"  # a call ended with an error that fails the attempt; it may run again
        LIMIT_RAISED = "limit_raised"  # people let the task use more
        SESSION = "session"  # what the task has of its session: from then on, that does not change

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="checkpoints")
    seq = models.PositiveIntegerField()
    kind = models.CharField(max_length=16, choices=Kind)
    key = models.CharField(max_length=200)
    set_aside = models.BooleanField(default=False, db_default=False)  # a person went on from an earlier one
    epoch = models.PositiveIntegerField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["task", "seq"]
        constraints = [models.UniqueConstraint(fields=["task", "seq"], name="checkpoint_seq")]


class Event(models.Model):
    """What happened: timeline, audit trail and stream in one. Append-only; `seq` per task has no gaps."""

    task = models.ForeignKey(Task, null=True, on_delete=models.CASCADE, related_name="events")
    seq = models.PositiveIntegerField(null=True)
    type = models.CharField(max_length=32)
    payload = EventPayload(default=dict)
    actor = models.CharField(max_length=200, default="", db_default="")  # "" is the system
    at = models.DateTimeField(db_default=Now())
    unread = models.BooleanField(default=False, db_default=False)  # to be handed to subscribers (`apps.tasks.outbox`)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["task", "seq"], name="event_seq"),
            models.CheckConstraint(
                condition=Q(task=None, seq=None) | Q(task__isnull=False, seq__isnull=False), name="event_task_has_seq"
            ),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(unread=True), name="event_unread")]


class Subscription(models.Model):
    """Who wants to be handed the events of a type, from the commit of this row on (`apps.tasks.outbox`)."""

    subscriber = models.CharField(max_length=32)
    type = models.CharField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["type", "subscriber"], name="subscription_once")]


class DeadLetter(models.Model):
    """A task that failed for good, filed with what is needed to understand and repair it."""

    class Status(models.TextChoices):
        OPEN = "open"
        RETRIED = "retried"
        DISCARDED = "discarded"

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="dead_letters")
    agent = models.CharField(max_length=100, db_default="")
    code = models.CharField(max_length=100, db_default="")  # of the error
    fingerprint = models.CharField(max_length=64)  # of agent, code and message (`TaskError.fingerprint`)
    error = ErrorPayload()
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    last_checkpoint = models.PositiveIntegerField(default=0, db_default=0)  # of the task, when it was filed
    entered_at = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=200, default="", db_default="")
    reason = models.TextField(default="", db_default="")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["task"], condition=Q(status="open"), name="dead_letter_one_open"),
            models.CheckConstraint(
                condition=Q(status="open", resolved_at=None)
                | Q(status__in=["retried", "discarded"], resolved_at__isnull=False),
                name="dead_letter_resolved",
            ),
        ]
        indexes = [
            models.Index(fields=["status", "fingerprint", "id"], name="dead_letter_group"),  # all that groups ask for
            models.Index(fields=["status", "-id"], name="dead_letter_status"),
        ]


class Operation(models.Model):
    """One verb applied to many dead letters: exactly those that stood in `items` when it was confirmed."""

    class Verb(models.TextChoices):
        RETRY = "retry"
        DISCARD = "discard"

    class Status(models.TextChoices):
        RUNNING = "running"
        COMPLETED = "completed"
        STOPPED = "stopped"  # by a person or by its canary; what was done stays done

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    verb = models.CharField(max_length=10, choices=Verb)
    filter = models.JSONField(default=dict)  # as it was asked, for people
    options = Payload(default=dict)  # {"input"?: new input, "reason"?: text, "canary"?: true}
    status = models.CharField(max_length=10, choices=Status, default=Status.RUNNING)
    actor = models.CharField(max_length=200)
    total = models.PositiveIntegerField()
    stopped_by = models.CharField(max_length=200, default="", db_default="")  # "" is the system
    stop_reason = models.TextField(default="", db_default="")
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="running", finished_at=None)
                | Q(status__in=["completed", "stopped"], finished_at__isnull=False),
                name="operation_ended_is_finished",
            ),
        ]
        indexes = [models.Index(fields=["id"], condition=Q(status="running"), name="operation_running")]


class OperationItem(models.Model):
    """One dead letter of an operation, and what became of it."""

    class Outcome(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        SKIPPED = "skipped"  # somebody else had resolved it
        FAILED = "failed"

    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="items")
    dead_letter = models.ForeignKey(DeadLetter, on_delete=models.CASCADE, related_name="+")
    outcome = models.CharField(max_length=8, choices=Outcome, default=Outcome.WAITING)
    detail = PayloadText(default="", db_default="")
    at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["operation", "dead_letter"], name="operation_item_once")]
        indexes = [models.Index(fields=["operation", "outcome", "id"], name="operation_item_outcome")]


class UniquePeriod(models.Model):
    """Until when a `unique_key` of scope `period` keeps other tasks out."""

    key = models.CharField(max_length=255, unique=True)
    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+")
    expires_at = models.DateTimeField(db_index=True)


class PrunedTask(models.Model):
    """A task that retention has removed: for some days, who asks for it is told so (`apps.tasks.retention`)."""

    id = models.UUIDField(primary_key=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["at"], name="pruned_task_at")]


class IdempotencyKey(models.Model):
    """The first answer to a POST that carried an `Idempotency-Key`: what it made."""

    key = models.CharField(max_length=255, unique=True)
    digest = models.CharField(max_length=64)  # of method, path and body
    task = models.ForeignKey(Task, null=True, on_delete=models.CASCADE, related_name="+")
    event = models.ForeignKey(Event, null=True, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(task__isnull=False, event=None) | Q(task=None, event__isnull=False),
                name="idempotency_key_made_one",
            ),
        ]
