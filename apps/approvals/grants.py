"""Grants: an approver lets further calls of a tool run without asking, for one task or until an instant.

A grant covers calls of the same tool by the same agent that the same policy would have asked about. Where the policy
excludes the requester, it covers no task of somebody who gave it. It can be revoked; calls that look for it later ask.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now

from apps.accounts.permissions import Caller, Need, may
from apps.agents.policies import Policy
from apps.approvals.errors import DecisionInvalid, GrantEnded, NotEntitled
from apps.approvals.models import Approval, Grant
from apps.queue import sql
from apps.queue.faults import Point, reach
from apps.tasks.events import EventType, NewEvent, announce
from apps.tasks.models import Task


@dataclass(frozen=True)
class Terms:
    """How far a grant goes: until an instant, or (None) for the task at hand."""

    until: datetime | None = None

    def as_json(self) -> dict[str, Any]:
        return {"until": self.until.isoformat()} if self.until else {"task": True}


def check(terms: Terms) -> None:
    """Raises DecisionInvalid."""
    if terms.until is not None and terms.until <= sql.instant():
        raise DecisionInvalid.at("grant", "The instant until which calls shall be granted has passed.")


def give(approval: Approval, terms: Terms, by: Sequence[str]) -> Grant:
    """In the transaction of the decision that gives it."""
    given = Grant.objects.create(
        agent=approval.task.agent,
        tool=approval.tool,
        task=approval.task if terms.until is None else None,
        until=terms.until,
        policy=approval.policy,
        approval=approval,
        given_by=list(by),
    )
    reach(Point.GRANT_WRITES)
    return given


def in_force() -> QuerySet[Grant]:
    """Those that could cover a call now."""
    live = Q(until__gt=Now()) | Q(task__finished_at=None, task__isnull=False)
    return Grant.objects.filter(live, revoked_at=None)


def covering(task: Task, tool: str, policy: Policy) -> Grant | None:
    """A grant that covers a call of the tool by the (running) task."""
    reaching = Q(task=task) | Q(task=None, until__gt=Now())
    found = Grant.objects.filter(reaching, tool=tool, agent=task.agent, revoked_at=None).order_by("id")
    for grant in found:
        given_by_requester = policy.exclude_requester and task.created_by in grant.given_by
        if grant.policy == policy.stored() and not given_by_requester:
            return grant
    return None


def count_use(grant: Grant) -> None:
    """In the transaction that writes the event of the use."""
    Grant.objects.filter(pk=grant.pk).update(uses=F("uses") + 1)


def revoke(grant: Grant, *, by: Caller, reason: str = "") -> Grant:
    """Ends the grant; every approver may. Raises NotEntitled or GrantEnded."""
    if not may(by, Need.APPROVER):
        raise NotEntitled("Revoking a grant needs the role approver or admin.")
    with transaction.atomic():
        revoked = in_force().filter(pk=grant.pk).values("pk")
        if not Grant.objects.filter(pk__in=revoked).update(revoked_at=Now(), revoked_by=by.actor, reason=reason):
            raise GrantEnded("The grant is not in force any more: it was revoked, or has ended.")
        payload = {"grant": str(grant.pk), "agent": grant.agent, "tool": grant.tool}
        payload |= {"reason": reason} if reason else {}
        announce(NewEvent(EventType.GRANT_REVOKED, payload, by.actor))
    grant.refresh_from_db()
    return grant
