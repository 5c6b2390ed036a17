"""What waits for a person's decision, the decisions, and the grants that spare further ones (App schema).

State changes only through `apps.approvals.lifecycle`, `apps.approvals.due` and `apps.approvals.grants`.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from uuid_utils.compat import uuid7

from apps.agents.policies import Policy
from apps.tenancy.payloads import Payload, PayloadText


class Approval(models.Model):
    """One thing that a task cannot go on without.

    `policy` is the one that asks now; an escalation replaces it and raises `level`. `role`, `approvers` (rows),
    `exclude_requester` and `required` repeat what it says, for queries. `due_at` is when the next of reminder and
    expiry is due: while it is set, the queue has an entry of kind `approval` for it.
    """

    class Kind(models.TextChoices):
        TOOL_CALL = "tool_call"
        QUESTION = "question"  # the agent asks
        IN_DOUBT = "in_doubt"  # a call that may have run when its worker died
        BUDGET = "budget"  # the task has reached a limit

    class Status(models.TextChoices):
        OPEN = "open"
        APPROVED = "approved"  # answered, too
        REJECTED = "rejected"
        EXPIRED = "expired"  # nobody decided in time; `outcome` says what came of it
        CANCELLED = "cancelled"  # the task ended otherwise

    class OnReject(models.TextChoices):
        CONTINUE = "continue"  # the model is told
        FAIL = "fail"  # the task fails

    class Risk(models.TextChoices):
        LOW = "low"
        MEDIUM = "medium"
        HIGH = "high"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    task = models.ForeignKey("tasks.Task", on_delete=models.CASCADE, related_name="approvals")
    kind = models.CharField(max_length=10, choices=Kind)
    call = models.CharField(max_length=200)  # the journal's key of it; of a budget `limit:` or `budget:`, and its name
    tool = models.CharField(max_length=100, default="")
    arguments = Payload(default=dict)
    digest = models.CharField(max_length=64)  # of tool and arguments: a decision is about exactly these
    schema = models.JSONField(null=True)  # JSON Schema of the arguments, or of the answer to a question
    prompt = PayloadText(default="")
    risk = models.CharField(max_length=6, choices=Risk, default="", blank=True)
    on_reject = models.CharField(max_length=8, choices=OnReject, default=OnReject.CONTINUE)

    policy = models.JSONField(default=dict)
    policy_name = models.CharField(max_length=64, default="")
    role = models.CharField(max_length=10, default="approver", blank=True)
    exclude_requester = models.BooleanField(default=False)
    requester = models.CharField(max_length=200, default="")  # who gave the task its input
    required = models.PositiveSmallIntegerField(default=1)
    level = models.PositiveSmallIntegerField(default=0)  # how often it was escalated

    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    outcome = models.CharField(max_length=10, default="", blank=True)  # the verb that closed it
    requested_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True)
    remind_at = models.DateTimeField(null=True)  # null once it is done, too
    due_at = models.DateTimeField(null=True)
    reminded_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["task", "call"], condition=Q(status="open"), name="approval_open_once"),
            models.CheckConstraint(
                condition=Q(status="open", closed_at=None) | (~Q(status="open") & Q(closed_at__isnull=False)),
                name="approval_closed",
            ),
            models.CheckConstraint(
                condition=Q(status__in=["open", "cancelled"], outcome="")
                | (Q(status__in=["approved", "rejected", "expired"]) & ~Q(outcome="")),
                name="approval_outcome",
            ),
            models.CheckConstraint(
                condition=Q(status="open") | Q(due_at=None), name="approval_closed_is_not_due"
            ),
            models.CheckConstraint(
                condition=~Q(status="open") | Q(due_at__isnull=False) | Q(expires_at=None, remind_at=None),
                name="approval_due",
            ),
            models.CheckConstraint(
                condition=Q(level=0, escalated_at=None) | Q(level__gt=0, escalated_at__isnull=False),
                name="approval_escalated",
            ),
            models.CheckConstraint(condition=Q(required__gt=0), name="approval_required"),
        ]  # fmt: skip
        indexes = [
            # All that tells whom an open one waits for: an inbox looks for its own in the index alone.
            models.Index(
                fields=["status", "-id", "role", "exclude_requester", "requester", "level"], name="approval_inbox"
            ),
            models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="approval_due_at"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.tool or self.call}"

    def asked_by(self) -> Policy:
        """The policy that asks."""
        return Policy.model_validate(self.policy)


class Approver(models.Model):
    """Somebody whom the policy of an approval names."""

    approval = models.ForeignKey(Approval, on_delete=models.CASCADE, related_name="approvers")
    actor = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["actor", "approval"], name="approver_once")]


class Decision(models.Model):
    """What one person decided. Append-only.

    `digest` is of what was decided (verb, arguments, answer, grant): those who agree have the same, and each person
    counts once, at each level.
    """

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
    comment = PayloadText(default="", db_default="")
    arguments = Payload(null=True)  # what the call was changed to
    answer = Payload(null=True)
    digest = models.CharField(max_length=64, default="")
    level = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["approval", "level", "actor", "digest"], name="decision_counts_once")
        ]
        indexes = [models.Index(fields=["actor", "-id"], name="decision_actor")]


class Grant(models.Model):
    """Calls of a tool by an agent that need no further approval: those of one task, or all until an instant.

    It covers only calls that the same policy would have asked about.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.CharField(max_length=100)
    tool = models.CharField(max_length=100)
    task = models.ForeignKey("tasks.Task", null=True, on_delete=models.CASCADE, related_name="+")
    until = models.DateTimeField(null=True)
    policy = models.JSONField(default=dict)
    approval = models.ForeignKey(Approval, null=True, on_delete=models.SET_NULL, related_name="grants")
    given_by = models.JSONField(default=list)  # all whose decisions it took
    given_at = models.DateTimeField(db_default=Now())
    revoked_at = models.DateTimeField(null=True)
    revoked_by = models.CharField(max_length=200, default="")
    reason = models.TextField(default="")  # why it was revoked
    uses = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(task=None, until__isnull=False) | Q(task__isnull=False, until=None), name="grant_ends"
            ),
            models.CheckConstraint(
                condition=Q(revoked_at=None, revoked_by="") | (Q(revoked_at__isnull=False) & ~Q(revoked_by="")),
                name="grant_revoked_by",
            ),
        ]
        indexes = [
            models.Index(fields=["tool", "agent"], condition=Q(revoked_at=None), name="grant_in_force"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} may call {self.tool}"
