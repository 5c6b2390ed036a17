"""What starts work, and each time that it did; who is told what happens, and what became of each message (App schema).

State changes only through `apps.triggers.entry_points.lifecycle` and `apps.triggers.entry_points.firing`, and through
`apps.triggers.notifications.lifecycle` and `apps.triggers.notifications.deliveries`.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from apps.agents.models import OrderedJSON
from apps.tenancy.payloads import Payload, PayloadBytes, PayloadText


class EntryPoint(models.Model):
    """What starts an agent's work, as the configuration names it now (or did, until `removed_at`).

    A pause is an operator's and outlives whatever the configuration says. Its id is the key of its queue entry.
    """

    class State(models.TextChoices):
        ACTIVE = "active"
        PAUSED = "paused"  # by an operator, until one resumes it
        REMOVED = "removed"  # its records stay

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=64, unique=True)
    agent = models.CharField(max_length=100)
    type = models.CharField(max_length=20)  # of its trigger
    spec = OrderedJSON()  # as in the document, checked: `${secret:…}` references stay references
    paused_at = models.DateTimeField(null=True)
    paused_by = models.CharField(max_length=200, default="", db_default="")
    pause_reason = models.TextField(default="", db_default="")
    removed_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=Now())
    anchor = models.DateTimeField(null=True)  # of a timer: what its intervals count from
    next_at = models.DateTimeField(null=True)  # of a timer: the instant that it fires for next

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(paused_at__isnull=False) | Q(paused_by="", pause_reason=""), name="entry_point_paused"
            ),
            models.CheckConstraint(
                condition=Q(next_at=None) | Q(anchor__isnull=False, paused_at=None, removed_at=None, type="timer"),
                name="entry_point_next",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> State:
        if self.removed_at is not None:
            return self.State.REMOVED
        return self.State.ACTIVE if self.paused_at is None else self.State.PAUSED


class TimersPause(models.Model):
    """One row while no timer of the App fires, whether it is paused itself or not."""

    by = models.CharField(max_length=200)
    reason = models.TextField(default="", db_default="")
    since = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [models.CheckConstraint(condition=Q(id=1), name="timers_pause_one_row")]

    def __str__(self) -> str:
        return f"timers paused by {self.by}"


class Firing(models.Model):
    """One time that something asked an entry point to start work, and what came of it.

    `key` is what there can be only one of: the instant, the delivery, the event. It names its task without a foreign
    key: the record may outlive it.
    """

    class Cause(models.TextChoices):
        API = "api"
        MANUAL = "manual"
        TIMER = "timer"
        WEBHOOK = "webhook"
        EVENT = "event"
        BACKFILL = "backfill"

    class Outcome(models.TextChoices):
        STARTED = "started"
        QUEUED = "queued"  # its task waits until there is room
        REPLACED = "replaced"  # its task follows one that was stopped for it
        SKIPPED = "skipped"
        FILTERED = "filtered"  # the input's template made nothing of it
        REFUSED = "refused"  # no task could be made of it

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    entry_point = models.ForeignKey(EntryPoint, on_delete=models.CASCADE, related_name="firings", db_index=False)
    cause = models.CharField(max_length=10, choices=Cause)
    key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - null: any number of them
    scheduled_for = models.DateTimeField(null=True)  # the instant that it is of, if it is of one
    at = models.DateTimeField(db_default=Now())
    by = models.CharField(max_length=200, default="", db_default="")  # "" is the system
    outcome = models.CharField(max_length=10, choices=Outcome)
    reason = PayloadText(default="", db_default="")  # a sentence; it may quote the input
    task = models.UUIDField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["entry_point", "key"], name="firing_once"),
            models.CheckConstraint(
                condition=Q(outcome__in=["started", "queued", "replaced"], task__isnull=False)
                | (Q(outcome__in=["skipped", "filtered", "refused"], task=None) & ~Q(reason="")),
                name="firing_has_task_or_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["entry_point", "-id"], name="firing_newest"),
            models.Index(fields=["at"], name="firing_at"),
        ]

    def __str__(self) -> str:
        return f"{self.entry_point_id} {self.outcome}"


class WebhookDelivery(models.Model):
    """A request that came for an entry point, and what was made of it.

    `key` is what tells it from others: the same again counts as a repetition of this one. Its headers and parameters
    are without credentials.
    """

    class Verdict(models.TextChoices):
        STARTED = "started"  # these are outcomes of its firing: …
        QUEUED = "queued"
        REPLACED = "replaced"
        SKIPPED = "skipped"
        FILTERED = "filtered"
        REFUSED = "refused"  # … down to here
        PAUSED = "paused"  # its entry point was; the sender was told to come back
        UNREADABLE = "unreadable"  # what it holds is not what it says
        UNVERIFIED = "unverified"  # its signature is missing or wrong; what it held was not kept
        HANDSHAKE = "handshake"  # the sender's question whether this is the right address; it was answered

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    entry_point = models.ForeignKey(EntryPoint, on_delete=models.CASCADE, related_name="deliveries", db_index=False)
    received_at = models.DateTimeField(db_default=Now())
    method = models.CharField(max_length=10)
    path = models.TextField()  # behind /webhooks/APP
    query = Payload(default=dict)
    headers = Payload(default=dict)
    content_type = models.CharField(max_length=200, default="", db_default="")
    body = PayloadBytes(null=True)
    size = models.PositiveIntegerField(default=0)  # bytes of the body
    key = models.CharField(max_length=255, null=True)  # noqa: DJ001 - null: any number of them
    verdict = models.CharField(max_length=12, choices=Verdict)
    reason = models.TextField(default="", db_default="")  # a sentence
    firing = models.UUIDField(null=True)
    task = models.UUIDField(null=True)
    repeats = models.PositiveIntegerField(default=0, db_default=0)
    repeated_at = models.DateTimeField(null=True)  # for the last time
    redelivery_of = models.UUIDField(null=True)
    by = models.CharField(max_length=200, default="", db_default="")  # who redelivered it

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "webhook deliveries"
        constraints = [
            models.UniqueConstraint(fields=["entry_point", "key"], name="webhook_delivery_once"),
            models.CheckConstraint(
                condition=Q(verdict__in=["started", "queued", "replaced"], task__isnull=False)
                | (~Q(verdict__in=["started", "queued", "replaced"]) & Q(task=None)),
                name="webhook_delivery_has_task",
            ),
        ]
        indexes = [
            models.Index(fields=["entry_point", "-id"], name="webhook_delivery_newest"),
            models.Index(fields=["verdict", "-id"], name="webhook_delivery_verdict"),
            models.Index(fields=["received_at"], name="webhook_delivery_at"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def text(self) -> str | None:
        """The body, as far as it is text."""
        return None if self.body is None else bytes(self.body).decode(errors="replace").replace("\0", "\ufffd")


class Channel(models.Model):
    """A receiver that the configuration names now, and how it is doing. Its id is the key of its queue entry."""

    class State(models.TextChoices):
        ACTIVE = "active"
        FAILING = "failing"  # and still tried
        DISABLED = "disabled"  # given up after repeated failure, until somebody enables it
        OFF = "off"  # the configuration says so

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    name = models.CharField(max_length=80, unique=True)
    type = models.CharField(max_length=20)
    spec = OrderedJSON()  # as in the document, checked: `${secret:…}` references stay references
    enabled = models.BooleanField()  # what the configuration says
    disabled_at = models.DateTimeField(null=True)
    disabled_because = models.TextField(default="", db_default="")
    failing_since = models.DateTimeField(null=True)  # the first failed attempt after the last message that arrived
    delivered_at = models.DateTimeField(null=True)  # when the last message arrived

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(disabled_at=None, disabled_because="")
                | (Q(disabled_at__isnull=False) & ~Q(disabled_because="")),
                name="channel_disabled_because",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> State:
        if not self.enabled:
            return self.State.OFF
        if self.disabled_at is not None:
            return self.State.DISABLED
        return self.State.ACTIVE if self.failing_since is None else self.State.FAILING


class Delivery(models.Model):
    """A message to one channel: the log, and while it is `waiting`, the work.

    It names its channel, event and task without a foreign key: the log outlives them. Its id is the message's, the
    same in every attempt.
    """

    class Status(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    channel = models.CharField(max_length=80)
    event = models.BigIntegerField(null=True)  # null: a test
    type = models.CharField(max_length=32)
    task = models.UUIDField(null=True)
    message = models.JSONField()
    status = models.CharField(max_length=10, choices=Status, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0)  # all of them
    tries = models.PositiveIntegerField(default=0)  # of the schedule: starts over when it is redelivered
    next_attempt_at = models.DateTimeField(null=True)
    error = models.TextField(default="", db_default="")  # why it has not arrived, as far as that is known
    created_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["event", "channel"], name="delivery_once"),
            models.CheckConstraint(
                condition=Q(status="waiting", next_attempt_at__isnull=False, finished_at=None)
                | Q(status__in=["delivered", "failed"], next_attempt_at=None, finished_at__isnull=False),
                name="delivery_waits_or_is_finished",
            ),
        ]
        indexes = [
            models.Index(fields=["channel", "next_attempt_at"], condition=Q(status="waiting"), name="delivery_waiting"),
            models.Index(fields=["channel", "-id"], name="delivery_channel"),
            models.Index(fields=["status", "-id"], name="delivery_status"),
            models.Index(fields=["finished_at"], condition=Q(finished_at__isnull=False), name="delivery_finished"),
        ]

    def __str__(self) -> str:
        return f"{self.type} to {self.channel}"

    @property
    def is_test(self) -> bool:
        return self.event is None


class DeliveryAttempt(models.Model):
    """One try to deliver, and what came back. Append-only."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="log")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(db_default=Now())
    seconds = models.FloatField()
    status = models.PositiveSmallIntegerField(null=True)  # of HTTP, if there was an answer
    answer = models.TextField(default="", db_default="")  # its beginning
    error = models.TextField(default="", db_default="")  # empty: it arrived

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["delivery", "number"], name="delivery_attempt_number")]
