"""A worker does what is due for approvals, at its time."""

from __future__ import annotations

import pytest

from apps.agents.policies import ApprovalPolicy, resolve
from apps.approvals import lifecycle as approvals
from apps.approvals.models import Approval
from apps.queue.models import QueueEntry
from apps.tasks.integrity import complaints
from apps.tenancy.models import App
from tests.support.doubt import asked
from tests.support.transitions import fresh
from tests.support.work import event_types, wait_for, working

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_worker_reminds_people_and_then_lets_the_approval_expire(app: App) -> None:
    values = {"remind_after": "100ms", "expires_in": "1500ms", "on_expiry": "fail"}
    policy = resolve(ApprovalPolicy.model_validate(values), {})
    task = asked(app, approvals.Call(Approval.Kind.TOOL_CALL, "tool:1:a", "charge", {"amount": 5}, policy=policy))
    with working():
        wait_for(lambda: fresh(task).status == "failed", what="the time is over")
    assert fresh(task).error["code"] == "approval_expired"
    told = [kind for kind in event_types(task) if kind.startswith("approval_")]
    assert told == ["approval_requested", "approval_reminded", "approval_expired"]
    assert not QueueEntry.objects.exists() and complaints(app) == []
