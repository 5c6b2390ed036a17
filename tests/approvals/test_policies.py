"""Who may decide, how many it takes, and what happens when nobody does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.accounts.permissions import Caller, Role
from apps.agents.policies import ApprovalPolicy, Policy, resolve
from apps.approvals import due, grants, inbox, words
from apps.approvals import lifecycle as approvals
from apps.approvals.errors import (
    AlreadyCounted,
    AlreadyDecided,
    ApprovalError,
    DecisionInvalid,
    DecisionNotPossible,
    GrantEnded,
    NotEntitled,
    TooLate,
)
from apps.approvals.grants import Terms
from apps.approvals.models import Approval, Decision, Grant
from apps.queue.models import QueueEntry
from apps.tasks import recovery
from apps.tasks.integrity import complaints
from apps.tasks.models import Checkpoint, DeadLetter, Task, TaskStatus
from apps.tenancy.models import App
from tests.support.doubt import asked
from tests.support.people import ANNA, BERT, OTTO, person
from tests.support.transitions import fresh
from tests.support.work import event_types, payloads

Kind = Approval.Kind
SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "integer", "maximum": 100}, "note": {"type": "string"}},
    "required": ["amount"],
    "additionalProperties": False,
}


def policy(known: dict[str, dict[str, Any]] | None = None, /, **values: Any) -> Policy:
    policies = {name: ApprovalPolicy.model_validate(one) for name, one in (known or {}).items()}
    return resolve(ApprovalPolicy.model_validate(values), policies)


def call(kind: Kind = Kind.TOOL_CALL, key: str = "tool:1:a", **options: Any) -> approvals.Call:
    return approvals.Call(kind, key, "charge", {"amount": 5}, **{"schema": SCHEMA, **options})


def one(task: Task) -> Approval:
    return Approval.objects.select_related("task").get(task=task)


def overdue(approval: Approval, field: str = "expires_at") -> None:
    """Puts the approval's instant into the past, as if the time had gone by."""
    past = timezone.now() - timedelta(seconds=1)
    Approval.objects.filter(pk=approval.pk).update(**{field: past, "due_at": past})


# --- Who --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("approvers", "may"),
    [
        ({}, {"approver", "admin", "operator secret"}),
        ({"role": "admin"}, {"admin", "operator secret"}),
        ({"users": ["anna"]}, {"named"}),
        ({"users": ["anna"], "role": "admin"}, {"named", "admin", "operator secret"}),
    ],
)
def test_the_policy_says_who_may_decide(app: App, approvers: dict[str, Any], may: set[str]) -> None:
    people = {
        "viewer": person("anna", Role.VIEWER),
        "operator": person("anna", Role.OPERATOR),
        "approver": OTTO,
        "named": ANNA,
        "admin": person("root", Role.ADMIN),
        "operator secret": Caller("operator", Role.VIEWER, is_platform_operator=True),
    }
    if not approvers:
        del people["named"]
    for name, caller in people.items():
        task = asked(app, call(policy=policy(approvers=approvers)))
        assert inbox.mine(caller).filter(task=task).exists() == (name in may), name
        if name in may:
            approvals.decide(app, one(task), "approve", by=caller)
            assert fresh(task).status == TaskStatus.PENDING
        else:
            with pytest.raises(NotEntitled):
                approvals.decide(app, one(task), "approve", by=caller)
            assert not Decision.objects.filter(approval__task=task).exists()


def test_whoever_asked_for_the_task_may_confirm_and_is_excluded_by_four_eyes(app: App) -> None:
    requester = person("tests")  # who submitted the task
    task = asked(app, call(policy=policy(exclude_requester=True)))
    with pytest.raises(NotEntitled, match=r"You asked for the task\. Four eyes: .* not tests, who asked"):
        approvals.decide(app, one(task), "approve", by=requester)
    assert not inbox.mine(requester).exists() and inbox.mine(ANNA).exists() and inbox.team(requester).exists()
    approvals.decide(app, one(task), "approve", by=ANNA)
    other = asked(app, call(policy=policy()))
    approvals.decide(app, one(other), "approve", by=requester)
    assert (fresh(task).status, fresh(other).status) == (TaskStatus.PENDING, TaskStatus.PENDING)


def test_who_retries_with_another_input_has_asked_for_it(app: App) -> None:
    from apps.tasks import lifecycle

    task = asked(app, call())
    lifecycle.cancel(app, task, by="tests")
    assert task.created_by == "tests"
    assert lifecycle.retry(app, task, by="otto", new_input="other").created_by == "otto"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {},
            "Confirm: somebody with the role approver has to agree; anna, who asked for the task, may do so too.",
        ),
        (
            {"required": 2, "exclude_requester": True, "expires_in": "24h"},
            "Four eyes: two different people (with the role approver) have to agree, and not anna, who asked for the "
            "task. If that has not happened within 1 day, it counts as rejected.",
        ),
        (
            {
                "approvers": {"users": ["otto", "bert"]},
                "expires_in": "90m",
                "on_expiry": "escalate",
                "escalate_to": {"approvers": {"role": "admin"}},
            },
            "Confirm: otto or bert has to agree; anna, who asked for the task, may do so too. If that has not happened "
            "within 90 minutes, others are asked. Confirm: somebody with the role admin has to agree; whoever asked "
            "for the task may do so too.",
        ),
    ],
)
def test_a_policy_is_one_sentence(values: dict[str, Any], sentence: str) -> None:
    assert words.explain(policy(**values), requester="anna") == sentence


# --- How many ---------------------------------------------------------------------------------------------------------
def test_a_quorum_of_two_takes_two_people(app: App) -> None:
    task = asked(app, call(policy=policy(required=2)))
    approvals.decide(app, one(task), "approve", by=ANNA)
    assert (one(task).status, fresh(task).status) == ("open", TaskStatus.INPUT_REQUIRED)
    assert not inbox.mine(ANNA).exists() and inbox.mine(OTTO).exists()
    with pytest.raises(AlreadyCounted):
        approvals.decide(app, one(task), "approve", by=ANNA)
    approvals.decide(app, one(task), "approve", by=OTTO, comment="me too")
    assert (one(task).status, fresh(task).status) == ("approved", TaskStatus.PENDING)
    [first, second] = payloads(task, "approval_decided")
    assert first["missing"] == 1 and "missing" not in second
    mark = task.checkpoints.get(kind="tool_decided").content
    assert mark["decisions"] == list(Decision.objects.order_by("id").values_list("pk", flat=True))
    assert complaints(app) == []


def test_those_agree_who_approve_the_same_arguments(app: App) -> None:
    task = asked(app, call(policy=policy(required=2)))
    approvals.decide(app, one(task), "approve", by=ANNA, arguments={"amount": 4})
    approvals.decide(app, one(task), "approve", by=OTTO)
    assert one(task).status == "open"
    approvals.decide(app, one(task), "approve", by=BERT, arguments={"amount": 4})
    assert task.checkpoints.get(kind="tool_decided").content["arguments"] == {"amount": 4}


def test_one_who_rejects_is_enough(app: App) -> None:
    task = asked(app, call(policy=policy(required=3)))
    approvals.decide(app, one(task), "approve", by=ANNA)
    approvals.decide(app, one(task), "reject", by=OTTO, comment="too much")
    assert (one(task).status, fresh(task).status) == ("rejected", TaskStatus.PENDING)
    assert "too much" in task.checkpoints.get(kind="tool_result").content["value"]


# --- What -------------------------------------------------------------------------------------------------------------
def test_changed_arguments_are_checked_before_they_are_accepted(app: App) -> None:
    task = asked(app, call())
    with pytest.raises(DecisionInvalid) as refused:
        approvals.decide(app, one(task), "approve", by=ANNA, arguments={"amount": 500, "to": "me"})
    assert [pointer for pointer, _ in refused.value.faults] == ["/arguments", "/arguments/amount"]
    assert one(task).status == "open" and not Decision.objects.exists()
    approvals.decide(app, one(task), "approve", by=ANNA, arguments={"amount": 50})
    assert payloads(task, "approval_decided")[0]["changed"] is True
    assert Decision.objects.get().arguments == {"amount": 50}


def test_the_same_arguments_are_no_change(app: App) -> None:
    task = asked(app, call())
    approvals.decide(app, one(task), "approve", by=ANNA, arguments={"amount": 5})
    assert "arguments" not in task.checkpoints.get(kind="tool_decided").content
    assert "changed" not in payloads(task, "approval_decided")[0]


def test_a_schema_that_cannot_be_used_lets_no_change_pass(app: App) -> None:
    for schema in ({"$ref": "https://example.com/schema"}, {"$ref": "#"}, {"type": 5}):
        task = asked(app, call(schema=schema))
        with pytest.raises(DecisionInvalid, match="schema cannot check this"):
            approvals.decide(app, one(task), "approve", by=ANNA, arguments={"amount": 6})


def test_an_answer_is_checked_and_recorded_as_the_result_of_the_call(app: App) -> None:
    task = asked(app, call(Kind.QUESTION, schema={"type": "integer"}))
    for answer in (None, "five"):
        with pytest.raises(DecisionInvalid):
            approvals.decide(app, one(task), "answer", by=ANNA, answer=answer)
    with pytest.raises(DecisionNotPossible):
        approvals.decide(app, one(task), "approve", by=ANNA)
    approvals.decide(app, one(task), "answer", by=ANNA, answer=5)
    assert task.checkpoints.get(kind="tool_result").content == {"kind": "value", "value": 5}
    assert fresh(task).status == TaskStatus.PENDING


def test_a_rejection_can_fail_the_task(app: App) -> None:
    task = asked(app, call(on_reject="fail"), call(key="tool:1:b"))
    first = Approval.objects.get(task=task, call="tool:1:a")
    approvals.decide(app, first, "reject", by=ANNA, comment="never")
    assert fresh(task).status == TaskStatus.FAILED
    error = DeadLetter.objects.get(task=task).error
    assert (error["code"], error["message"]) == ("rejected", "anna rejected the call of charge: never")
    assert Approval.objects.get(task=task, call="tool:1:b").status == "cancelled"
    assert complaints(app) == []


@pytest.mark.parametrize(("decision", "code"), [("approve", None), ("reject", "limit_reached")])
def test_a_limit_is_raised_or_ends_the_task(app: App, decision: str, code: str | None) -> None:
    breach = {"limit": "requests", "value": 2, "used": 2, "raise_by": 2}
    task = asked(app, approvals.Call(Kind.BUDGET, "limit:requests", "", breach))
    approvals.decide(app, one(task), decision, by=ANNA)
    if code is None:
        assert task.checkpoints.get(kind="limit_raised").content["raise_by"] == 2
        assert fresh(task).status == TaskStatus.PENDING
    else:
        assert fresh(task).error["code"] == code
        assert "its limit of 2 requests" in task.error["message"]
    assert complaints(app) == []


def test_many_are_decided_each_by_itself(app: App) -> None:
    good, late, foreign = (asked(app, call()) for _ in range(3))
    Approval.objects.filter(task=foreign).update(exclude_requester=True, requester="anna")
    approvals.decide(app, one(late), "reject", by=OTTO)
    ids = [one(task).pk for task in (good, late, foreign, good)]
    batch = approvals.decide_batch(app, ids, "approve", by=ANNA)
    assert batch.decided == [ids[0]]
    assert [pk for pk, _ in batch.skipped] == ids[1:3]
    assert "reject by otto" in batch.skipped[0][1] and "You asked for the task" in batch.skipped[1][1]


# --- When -------------------------------------------------------------------------------------------------------------
EXPIRES = {"expires_in": "1h"}


def test_what_is_due_has_one_queue_entry_until_it_is_decided(app: App) -> None:
    task = asked(app, call(policy=policy(**EXPIRES, remind_after="10m")))
    approval = one(task)
    entry = QueueEntry.objects.get()
    assert (entry.kind, entry.key, entry.state, entry.run_at) == ("approval", approval.pk, "scheduled", approval.due_at)
    assert approval.due_at == approval.remind_at < approval.expires_at
    assert complaints(app) == []
    approvals.decide(app, approval, "approve", by=ANNA)
    assert list(QueueEntry.objects.values_list("kind", flat=True)) == ["task"]
    assert complaints(app) == []


def test_a_missing_entry_is_complained_about_and_mended(app: App) -> None:
    task = asked(app, call(policy=policy(**EXPIRES)))
    before = QueueEntry.objects.get()
    QueueEntry.objects.all().delete()
    assert complaints(app) == [f"open approval with a deadline without its queue entry: {one(task).pk}"]
    assert recovery.repair(app) == recovery.Repairs(enqueued=1)
    after = QueueEntry.objects.get()
    assert (after.key, after.run_at) == (before.key, before.run_at)
    Approval.objects.update(status="cancelled", closed_at=timezone.now(), due_at=None)
    Task.objects.update(status="cancelled", finished_at=timezone.now())
    assert complaints(app) == [f"queue entry of an approval that nothing is due for: {one(task).pk}"]
    assert recovery.repair(app) == recovery.Repairs(removed=1)
    assert complaints(app) == []


@pytest.mark.parametrize(
    ("outcome", "status", "code", "checkpoint"),
    [
        ("reject", TaskStatus.PENDING, None, "tool_result"),
        ("approve", TaskStatus.PENDING, None, "tool_decided"),
        ("fail", TaskStatus.FAILED, "approval_expired", None),
    ],
)
def test_nobody_decided_in_time(
    app: App, outcome: str, status: TaskStatus, code: str | None, checkpoint: str | None
) -> None:
    task = asked(app, call(policy=policy(**EXPIRES, on_expiry=outcome)))
    approval = one(task)
    overdue(approval)
    with pytest.raises(TooLate, match="its time was over"):
        approvals.decide(app, approval, "approve", by=ANNA)
    assert due.fire(app, approval.pk) is None
    approval = one(task)
    assert (approval.status, approval.outcome, fresh(task).status) == ("expired", outcome, status)
    assert (task.error or {}).get("code") == code
    assert checkpoint is None or task.checkpoints.filter(kind=checkpoint).count() == 1
    assert payloads(task, "approval_expired")[0]["outcome"] == outcome
    with pytest.raises(TooLate, match=f"nobody decided until .* counts as {outcome}"):
        approvals.decide(app, approval, "approve", by=ANNA)
    QueueEntry.objects.filter(kind="approval").delete()  # as its handler does
    assert complaints(app) == []


def test_what_is_not_due_yet_is_left_alone(app: App) -> None:
    task = asked(app, call(policy=policy(**EXPIRES)))
    left = due.fire(app, one(task).pk)
    assert left is not None and 3500 < left <= 3600
    assert one(task).status == "open"


def test_people_are_reminded_once(app: App) -> None:
    task = asked(app, call(policy=policy(**EXPIRES, remind_after="10m")))
    overdue(one(task), "remind_at")
    left = due.fire(app, one(task).pk)
    assert left is not None and 3500 < left <= 3600
    assert one(task).reminded_at is not None and one(task).due_at == one(task).expires_at
    assert due.fire(app, one(task).pk) is not None
    assert event_types(task).count("approval_reminded") == 1


def test_others_are_asked_when_nobody_decided(app: App) -> None:
    known = {"bosses": {"approvers": {"users": ["otto"]}, "expires_in": "2h", "on_expiry": "fail"}}
    first = policy(known, required=2, **EXPIRES, on_expiry="escalate", escalate_to="bosses")
    task = asked(app, call(policy=first))
    approvals.decide(app, one(task), "approve", by=ANNA)
    overdue(one(task))
    left = due.fire(app, one(task).pk)
    approval = one(task)
    assert left is not None and 7100 < left <= 7200
    assert (approval.status, approval.level, approval.policy_name, approval.required) == ("open", 1, "bosses", 1)
    assert payloads(task, "approval_escalated")[0]["policy"] == "bosses"
    with pytest.raises(NotEntitled, match="otto has to agree"):
        approvals.decide(app, approval, "approve", by=ANNA)
    approvals.decide(app, approval, "approve", by=OTTO)
    assert len(task.checkpoints.get(kind="tool_decided").content["decisions"]) == 1  # anna's counts no more
    assert fresh(task).status == TaskStatus.PENDING


def test_what_was_escalated_expires_as_its_new_policy_says(app: App) -> None:
    first = policy(**EXPIRES, on_expiry="escalate", escalate_to={"expires_in": "1h", "on_expiry": "fail"})
    task = asked(app, call(policy=first))
    for _ in range(2):
        overdue(one(task))
        due.fire(app, one(task).pk)
    assert fresh(task).error["code"] == "approval_expired"
    assert (one(task).status, one(task).outcome) == ("expired", "fail")


def test_a_question_that_nobody_answers_is_told_to_the_model(app: App) -> None:
    task = asked(app, call(Kind.QUESTION, policy=policy(**EXPIRES)))
    overdue(one(task))
    due.fire(app, one(task).pk)
    assert task.checkpoints.get(kind="tool_result").content["value"] == "Nobody answered in time."


# --- Grants -----------------------------------------------------------------------------------------------------------
def test_a_grant_covers_the_same_tool_agent_and_policy_until_it_is_revoked(app: App) -> None:
    task = asked(app, call(policy=policy()))
    approvals.decide(app, one(task), "approve", by=ANNA, grant=Terms())
    grant = Grant.objects.get()
    assert (grant.task_id, grant.given_by, grant.until) == (task.pk, ["anna"], None)
    assert payloads(task, "approval_decided")[0]["grant"] == str(grant.pk)
    assert grants.covering(task, "charge", policy()) == grant
    assert grants.covering(task, "deploy", policy()) is None
    assert grants.covering(task, "charge", policy(required=2)) is None
    assert grants.covering(asked(app, call()), "charge", policy()) is None
    with pytest.raises(NotEntitled):
        grants.revoke(grant, by=person("eve", Role.OPERATOR))
    grants.revoke(grant, by=OTTO, reason="enough")
    assert (grant.revoked_by, grant.reason) == ("otto", "enough")
    assert grants.covering(task, "charge", policy()) is None
    with pytest.raises(GrantEnded):
        grants.revoke(grant, by=OTTO)


def test_a_grant_until_an_instant_covers_other_tasks_and_ends(app: App) -> None:
    past, soon = timezone.now() - timedelta(minutes=1), timezone.now() + timedelta(hours=1)
    task = asked(app, call())
    with pytest.raises(DecisionInvalid, match="has passed"):
        approvals.decide(app, one(task), "approve", by=ANNA, grant=Terms(past))
    approvals.decide(app, one(task), "approve", by=ANNA, grant=Terms(soon))
    other = asked(app, call())
    assert grants.covering(other, "charge", policy()) == Grant.objects.get()
    Grant.objects.update(until=past)
    assert grants.covering(other, "charge", policy()) is None
    assert not grants.in_force().exists()


def test_a_grant_covers_no_task_of_somebody_who_gave_it_where_four_eyes_are_asked_for(app: App) -> None:
    soon = timezone.now() + timedelta(hours=1)
    task = asked(app, call(policy=policy(exclude_requester=True)))
    approvals.decide(app, one(task), "approve", by=ANNA, grant=Terms(soon))
    own = asked(app, call())
    assert grants.covering(own, "charge", policy(exclude_requester=True)) is not None
    Task.objects.filter(pk=own.pk).update(created_by="anna")
    assert grants.covering(fresh(own), "charge", policy(exclude_requester=True)) is None


def test_a_grant_takes_as_many_people_as_the_approval(app: App) -> None:
    task = asked(app, call(policy=policy(required=2)))
    approvals.decide(app, one(task), "approve", by=ANNA)
    approvals.decide(app, one(task), "approve", by=OTTO, grant=Terms())
    assert one(task).status == "open" and not Grant.objects.exists()
    approvals.decide(app, one(task), "approve", by=BERT, grant=Terms())
    assert Grant.objects.get().given_by == ["otto", "bert"]


@pytest.mark.parametrize("error", [AlreadyDecided, ApprovalError])
def test_a_grant_belongs_to_an_approval_of_a_call(app: App, error: type[ApprovalError]) -> None:
    task = asked(app, call())
    with pytest.raises(DecisionInvalid, match="grants nothing"):
        approvals.decide(app, one(task), "reject", by=ANNA, grant=Terms())
    assert Checkpoint.objects.filter(task=task).count() == 0
