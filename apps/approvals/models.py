"""What waits for a person's decision, and the decisions (App schema).

State changes only through `apps.approvals.lifecycle`.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7


class Approval(models.Model):
    """One thing that a task cannot go on without."""

    class Kind(models.TextChoices):
        TOOL_CALL = "tool_call"
        QUESTION = "question"
        IN_DOUBT = "in_doubt"  # a call that may have run when its worker died

    class Status(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"
        REJECTED = "rejected"
        EXPIRED = "expired"
        CANCELLED = "cancelled"  # the task ended otherwise

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    task = models.ForeignKey("tasks.Task", on_delete=models.CASCADE, related_name="approvals")
    kind = models.CharField(max_length=10, choices=Kind)
    call = models.CharField(max_length=200)  # the journal's key of the call
    tool = models.CharField(max_length=100, default="")
    arguments = models.JSONField(default=dict)
    digest = models.CharField(max_length=64)  # of the arguments: a decision is about exactly these
    prompt = models.TextField(default="")
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    required = models.PositiveSmallIntegerField(default=1)
    requested_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["task", "call"], condition=Q(status="open"), name="approval_open_once"),
            models.CheckConstraint(
                condition=Q(status="open", closed_at=None) | (~Q(status="open") & Q(closed_at__isnull=False)),
                name="approval_closed",
            ),
        ]
        indexes = [models.Index(fields=["status", "-id"], name="approval_status")]


class Decision(models.Model):
    """What one person decided. Append-only."""

    class Verb(models.TextChoices):
        APPROVE = "approve"
        REJECT = "reject"
        ANSWER = "answer"
        RAN = "ran"  # the call did run: here is its result
        RUN_AGAIN = "run_again"
        FAIL = "fail"

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="decisions")
    actor = models.CharField(max_length=200)
    decision = models.CharField(max_length=10, choices=Verb)
    comment = models.TextField(default="", db_default="")
    arguments = models.JSONField(null=True)
    answer = models.JSONField(null=True)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
