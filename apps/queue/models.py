"""What waits for a worker, what a worker holds, and the workers themselves (shared schema, all Apps together).

The queue knows no task: an entry names a `kind` and a `key`, and the handler of that kind does the work.
Tasks are the truth and entries are derived from them, so an entry holds only what claiming needs.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class Worker(models.Model):
    """One worker process on shift. A process that lost its row (`stopped_at`) owns nothing any more."""

    host = models.CharField(max_length=255)
    pid = models.PositiveIntegerField()
    version = models.CharField(max_length=32)
    slots = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    draining = models.BooleanField(default=False, db_default=False)
    stopped_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["heartbeat_at"], condition=Q(stopped_at=None), name="worker_alive")]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class QueueEntry(models.Model):
    """One piece of work that is due, will be due, is being done, or is held (`apps.queue.holds`).

    `epoch` rises with each claim and fences it: whoever settles names the worker and the epoch that it claimed.
    `tag` is the entry's virtual finish time in weighted fair queueing (`apps.queue.entries`).
    """

    class State(models.TextChoices):
        READY = "ready"
        SCHEDULED = "scheduled"
        LEASED = "leased"
        PARKED = "parked"

    app = models.ForeignKey("tenancy.App", on_delete=models.CASCADE, db_index=False)
    kind = models.CharField(max_length=16, default="task")
    key = models.UUIDField()
    state = models.CharField(max_length=10, choices=State, default=State.READY)
    priority = models.SmallIntegerField(default=0)  # the higher, the sooner
    tag = models.FloatField(default=0)
    run_at = models.DateTimeField(null=True)  # of a scheduled entry: when it becomes ready
    lane = models.CharField(max_length=64, default="", db_default="")  # of its App: what can be held by itself
    group = models.CharField(max_length=100, default="", db_default="", db_column="group_name")  # … or be limited
    has_place = models.BooleanField(default=False, db_default=False)  # it was parked, and may run now (`limits`)
    goes_on = models.BooleanField(default=False, db_default=False)  # its place was kept while it was not here
    worker = models.ForeignKey(Worker, null=True, on_delete=models.PROTECT, db_index=False)
    epoch = models.PositiveIntegerField(default=0, db_default=0)
    leased_at = models.DateTimeField(null=True)
    cancel = models.BooleanField(default=False, db_default=False)  # the owner is asked to stop
    crashes = models.PositiveSmallIntegerField(default=0, db_default=0)  # how many workers died while they held it
    enqueued_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "queue entries"
        constraints = [
            models.UniqueConstraint(fields=["app", "kind", "key"], name="queue_entry_key"),
            models.CheckConstraint(
                condition=Q(state="leased", worker__isnull=False, leased_at__isnull=False)
                | Q(state__in=["ready", "parked"], worker=None)
                | Q(state="scheduled", worker=None, run_at__isnull=False),
                name="queue_entry_state",
            ),
            models.CheckConstraint(condition=Q(has_place=False) | Q(state="ready"), name="queue_entry_place"),
        ]
        indexes = [
            models.Index(F("priority").desc(), "tag", "id", condition=Q(state="ready"), name="queue_ready"),
            models.Index(fields=["run_at"], condition=Q(state="scheduled"), name="queue_scheduled"),
            models.Index(fields=["worker"], condition=Q(state="leased"), name="queue_leased"),
            models.Index("app", "group", F("priority").desc(), "id", condition=Q(state="parked"), name="queue_parked"),
            models.Index(fields=["app"], condition=Q(state="ready", has_place=True), name="queue_place"),
            models.Index(fields=["app", "priority", "tag"], condition=~Q(state="parked"), name="queue_app_tag"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.key}"


class Hold(models.Model):
    """An App, or one of its lanes, whose entries are not claimed: they are `parked` until no hold is left."""

    class Cause(models.TextChoices):
        PAUSE = "pause"
        SUSPENSION = "suspension"  # of the whole App (`apps.queue.suspension`), beside a pause that there may be
        DELETION = "deletion"  # of the whole App (`apps.queue.deletion`)

    app = models.ForeignKey("tenancy.App", on_delete=models.CASCADE, related_name="+")
    lane = models.CharField(max_length=64, default="", blank=True)  # "": all of the App
    cause = models.CharField(max_length=10, choices=Cause, default=Cause.PAUSE, db_default=Cause.PAUSE)
    reason = models.TextField(default="", db_default="")
    actor = models.CharField(max_length=200, default="", db_default="")
    since = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "lane", "cause"], name="hold_once_per_cause"),
            models.CheckConstraint(condition=Q(cause="pause") | Q(lane=""), name="hold_of_app_is_whole"),
        ]


class GroupLimit(models.Model):
    """How many tasks of a named group of an App run at a time (`apps.queue.limits`)."""

    app = models.ForeignKey("tenancy.App", on_delete=models.CASCADE, related_name="+", db_index=False)
    group = models.CharField(max_length=100, db_column="group_name")
    most = models.PositiveIntegerField()
    count_waiting = models.BooleanField(default=False, db_default=False)  # whether what waits for people counts …
    waiting = models.PositiveIntegerField(default=0, db_default=0)  # … and how many those are now

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["app", "group"], name="group_limit_once"),
            models.CheckConstraint(condition=Q(most__gte=1) & ~Q(group=""), name="group_limit_possible"),
        ]

    def __str__(self) -> str:
        return f"{self.most} of {self.group}"


class QueueControl(models.Model):
    """One row: whether workers may claim anything at all, and how many tasks may run at a time."""

    paused = models.BooleanField(default=False, db_default=False)
    reason = models.TextField(default="", db_default="")
    max_concurrent = models.PositiveIntegerField(null=True)  # null: as many as there are slots

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="queue_control_one_row"),
            models.CheckConstraint(
                condition=Q(max_concurrent=None) | Q(max_concurrent__gte=1), name="queue_control_limit_possible"
            ),
        ]
