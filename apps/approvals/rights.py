"""Who may decide about an approval.

The permission table lets approvers and admins decide at all; the policy that asks narrows that down, for platform
operators too: a policy that names people means these people.
"""

from __future__ import annotations

from django.db.models import Q

from apps.accounts.permissions import Caller, Need, Role, may
from apps.approvals.errors import NotEntitled
from apps.approvals.models import Approval, Approver
from apps.approvals.words import explain

NEEDS = {"approver": Need.APPROVER, "admin": Need.ADMIN}  # of a policy's role


def check(approval: Approval, by: Caller) -> None:
    """Raises NotEntitled, with the policy's sentence."""
    if not may(by, Need.APPROVER):
        raise NotEntitled("Deciding needs the role approver or admin.")
    named = Approver.objects.filter(approval=approval, actor=by.actor).exists()
    by_role = approval.role in NEEDS and may(by, NEEDS[approval.role])
    excluded = approval.exclude_requester and approval.requester == by.actor
    if excluded or not (named or by_role):
        sentence = explain(approval.asked_by(), requester=approval.requester)
        why = "You asked for the task." if excluded else "You are not among those who may decide about this."
        raise NotEntitled(f"{why} {sentence}")


def decidable(by: Caller) -> Q:
    """The approvals that `check` lets this person decide about; the same rules as a query."""
    if not may(by, Need.APPROVER):
        return Q(pk__in=[])
    return admitting(by) & ~Q(exclude_requester=True, requester=by.actor)


def admitting(by: Caller) -> Q:
    """The approvals whose policy means this person, whoever asked for the task."""
    roles = [role for role, need in NEEDS.items() if may(by, need)]
    return Q(role__in=roles) | Q(pk__in=Approver.objects.filter(actor=by.actor).values("approval"))


def operator(name: str) -> Caller:
    """A platform operator of that name: a superuser of the console, or somebody with a shell on the installation."""
    return Caller(name, Role.ADMIN, is_platform_operator=True)
