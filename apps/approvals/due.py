"""What happens when nobody decides: reminders, expiry and escalation (the handler of queue entries of kind `approval`).

An approval with a deadline or a reminder has one entry, scheduled at the next of the two; so they come due once,
however many hosts there are, and without a leader. All is done while the entry begins, in one transaction; decisions
take turns with it by the task's lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.agents.policies import Policy
from apps.approvals.choices import Verdict, on_expiry
from apps.approvals.lifecycle import adopt, carry_out, facts, name_approvers, next_due
from apps.approvals.models import Approval, Approver
from apps.queue import leases, sql
from apps.queue.faults import Point, reach
from apps.queue.handler import Job
from apps.queue.leases import Lease
from apps.tasks import lifecycle as tasks
from apps.tasks.events import EventType, NewEvent, record
from apps.tenancy.models import App


@transaction.atomic
def begin(app: App, claimed: Sequence[Lease], worker: str) -> list[tuple[Lease, None]]:
    found = Approval.objects.filter(pk__in=[lease.key for lease in claimed])
    tasks_of = dict(found.values_list("pk", "task_id"))
    # By task: two workers that begin at once then lock the tasks in the same order.
    for lease in sorted(claimed, key=lambda lease: (str(tasks_of.get(lease.key)), lease.key)):
        seconds = fire(app, lease.key)
        if seconds is None:
            leases.finish([lease])
        else:
            leases.reschedule(lease, seconds)
    return []


async def run(job: Job) -> None:
    """Nothing is left to do."""


def fire(app: App, approval_id: UUID) -> float | None:
    """Does what is due for the approval; the seconds until the next thing is, None if nothing will be."""
    approval = Approval.objects.select_related("task").filter(pk=approval_id).first()
    if approval is None:
        return None
    tasks.lock(approval.task)
    approval.refresh_from_db(from_queryset=Approval.objects.select_related("task"))
    if approval.status != Approval.Status.OPEN:
        return None
    now = sql.instant()
    if approval.expires_at is not None and approval.expires_at <= now:
        _expire(app, approval, now)
    elif approval.remind_at is not None and approval.remind_at <= now:
        _remind(approval)
    approval.refresh_from_db()
    return None if approval.due_at is None else max(0.0, (approval.due_at - now).total_seconds())


def _remind(approval: Approval) -> None:
    approval.remind_at = None
    Approval.objects.filter(pk=approval.pk).update(remind_at=None, reminded_at=Now(), due_at=next_due(approval))
    _tell(approval, EventType.APPROVAL_REMINDED)


def _expire(app: App, approval: Approval, now: datetime) -> None:
    policy = approval.asked_by()
    if policy.escalate_to is not None:
        _escalate(app, approval, policy.escalate_to, now)
        return
    verb, choice = on_expiry(approval, policy.on_expiry)
    _tell(approval, EventType.APPROVAL_EXPIRED, outcome=verb.value)
    carry_out(app, approval, choice, Verdict(verb), Approval.Status.EXPIRED)


def _escalate(app: App, approval: Approval, policy: Policy, now: datetime) -> None:
    """Asks others: what was decided before counts no more."""
    adopt(approval, policy, now)
    asking = (
        "policy", "policy_name", "role", "exclude_requester", "required", "expires_at", "remind_at", "due_at",
    )  # fmt: skip
    values = {name: getattr(approval, name) for name in asking}
    Approval.objects.filter(pk=approval.pk).update(
        **values, level=approval.level + 1, escalated_at=Now(), reminded_at=None
    )
    Approver.objects.filter(approval=approval).delete()
    name_approvers([approval], [policy])
    _tell(approval, EventType.APPROVAL_ESCALATED)


def _tell(approval: Approval, what: EventType, **more: str) -> None:
    record(approval.task_id, NewEvent(what, {**facts(approval), **more}))
    reach(Point.DUE_WRITES)
