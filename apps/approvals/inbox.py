"""What an inbox shows: the open approvals that a person has to look at, and those that are decided."""

from __future__ import annotations

from django.db.models import Exists, OuterRef, QuerySet

from apps.accounts.permissions import Caller
from apps.approvals import rights
from apps.approvals.models import Approval, Decision

OPEN = Approval.Status.OPEN


def open_approvals() -> QuerySet[Approval]:
    return Approval.objects.filter(status=OPEN)


def mine(by: Caller) -> QuerySet[Approval]:
    """Those that wait for this person: they may decide, and have not."""
    made = Decision.objects.filter(approval=OuterRef("pk"), level=OuterRef("level"), actor=by.actor)
    return open_approvals().filter(rights.decidable(by)).exclude(Exists(made))


def team(by: Caller) -> QuerySet[Approval]:
    """Those whose policy means this person and others like them, decided by them already or not."""
    return open_approvals().filter(rights.admitting(by))


def decided() -> QuerySet[Approval]:
    return Approval.objects.exclude(status=OPEN)


def decided_by(by: Caller) -> QuerySet[Approval]:
    """Those that this person has decided about, open or not."""
    return Approval.objects.filter(Exists(Decision.objects.filter(approval=OuterRef("pk"), actor=by.actor)))
