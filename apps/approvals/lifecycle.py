"""Asking people, and what they decide.

A run asks by ending (`ask`): the task and its open approvals are one transaction, and from then on the task holds no
worker. A decision, its event and what it does to the task are one transaction too; the task goes back into the queue
with the decision that closes its last open approval. Both lock the task's row first, so two people who decide at once
take turns, and the second one is told what the first has decided.

What may be decided depends on the kind of approval (`choices`), who may on its policy (`rights`). Where several people
have to agree, a decision that does not close yet is kept; those agree who decide exactly the same. One who rejects is
enough. What happens if nobody decides: `due`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.accounts.permissions import Caller
from apps.agents.policies import Policy
from apps.approvals import exact, grants, rights
from apps.approvals.choices import Choice, Verdict, choices
from apps.approvals.errors import (
    AlreadyCounted,
    AlreadyDecided,
    ApprovalError,
    DecisionInvalid,
    DecisionNotPossible,
    NothingToDecide,
    TooLate,
)
from apps.approvals.grants import Terms
from apps.approvals.models import Approval, Approver, Decision
from apps.queue import entries, sql
from apps.queue.entries import NewEntry
from apps.queue.faults import Point, reach
from apps.tasks import journal
from apps.tasks import lifecycle as tasks
from apps.tasks.events import EventType, NewEvent, record
from apps.tasks.journal import Run, Settlement
from apps.tasks.models import Task
from apps.tenancy.models import App

Kind, Status, Verb = Approval.Kind, Approval.Status, Decision.Verb
ENTRY = "approval"  # the kind of queue entries that come due with approvals


_PROMPTS = {  # where nobody has written one
    Kind.TOOL_CALL: "The agent wants to call the tool {tool}.",
    Kind.QUESTION: "The agent asks.",
    Kind.IN_DOUBT: (
        "The tool {tool} had been started when its attempt was cut short, and is not declared idempotent:"
        " it may or may not have taken effect."
    ),
    Kind.BUDGET: "The task has reached a limit.",
}


_RESULT = "result of the call; it is recorded as what the tool has returned"


@dataclass(frozen=True)
class Call:
    """What a run cannot go on without a decision about. `key` is the journal's."""

    kind: Approval.Kind
    key: str
    tool: str
    arguments: Any
    prompt: str = ""
    policy: Policy = field(default_factory=Policy)
    schema: dict[str, Any] | None = None
    risk: str = ""
    on_reject: str = Approval.OnReject.CONTINUE


# --- Asking -----------------------------------------------------------------------------------------------------------
def ask(app: App, run: Run, calls: Sequence[Call]) -> Settlement:
    """Ends a run: its task waits until people have decided about all of the calls."""
    approvals = [_approval(run.task_id, call) for call in calls]
    events = [NewEvent(EventType.APPROVAL_REQUESTED, facts(approval)) for approval in approvals]
    what = ", ".join(sorted({call.tool or call.arguments["limit"] for call in calls}))
    policies = [call.policy for call in calls]
    return journal.wait_for_person(
        run, f"a person has to decide about {what}", events, lambda: _write(app, run.task_id, approvals, policies)
    )


def _approval(task_id: UUID, call: Call) -> Approval:
    return Approval(
        task_id=task_id,
        kind=call.kind,
        call=call.key,
        tool=call.tool,
        arguments=exact.storable(call.arguments),
        digest=exact.digest(call.tool, call.arguments),
        schema=call.schema,
        prompt=exact.storable(call.prompt or _PROMPTS[call.kind].format(tool=call.tool)),
        risk=call.risk,
        on_reject=call.on_reject,
        policy_name=call.policy.name,  # the rest of it when it is written, which is when its time begins
    )


def _write(app: App, task_id: UUID, approvals: Sequence[Approval], policies: Sequence[Policy]) -> None:
    task = Task.objects.only("created_by", "cancel_requested_at", "entry_point").get(pk=task_id)
    now = sql.instant()
    for approval, policy in zip(approvals, policies, strict=True):
        approval.requester = task.created_by
        adopt(approval, policy, now)
    Approval.objects.bulk_create(approvals)
    name_approvers(approvals, policies)
    enqueue(app, approvals)
    if task.entry_point is not None:
        tasks.count_waiting(app)
    if task.cancel_requested_at is not None:  # while its run was ending: nobody shall be asked for it any more
        tasks.cancel(app, task, by="", reason="it was asked to stop before it began to wait")


def adopt(approval: Approval, policy: Policy, now: datetime) -> None:
    """Puts into the approval what a policy says that asks from now on. (Unsaved.)"""
    approval.policy = policy.stored()
    approval.policy_name = policy.name
    approval.role = policy.approvers.role or ""
    approval.exclude_requester = policy.exclude_requester
    approval.required = policy.required
    approval.expires_at = None if policy.expires_in is None else now + timedelta(seconds=policy.expires_in)
    approval.remind_at = None if policy.remind_after is None else now + timedelta(seconds=policy.remind_after)
    approval.due_at = next_due(approval)


def next_due(approval: Approval) -> datetime | None:
    return min((at for at in (approval.remind_at, approval.expires_at) if at is not None), default=None)


def name_approvers(approvals: Sequence[Approval], policies: Sequence[Policy]) -> None:
    """Writes the rows for the people whom the policies name."""
    Approver.objects.bulk_create(
        [
            Approver(approval=approval, actor=actor)
            for approval, policy in zip(approvals, policies, strict=True)
            for actor in dict.fromkeys(policy.approvers.users)
        ]
    )


def enqueue(app: App, approvals: Sequence[Approval]) -> None:
    """Writes the queue entries of those that something will be due for."""
    due = [approval for approval in approvals if approval.due_at is not None]
    if due:
        entries.enqueue(app, [NewEntry(one.pk, ENTRY, entries.AHEAD, run_at=one.due_at) for one in due])


def facts(approval: Approval) -> dict[str, Any]:
    """What every event about the approval says."""
    policy = {"policy": approval.policy_name} if approval.policy_name else {}
    what = {"kind": str(approval.kind), "tool": approval.tool, "call": approval.call}
    return {"approval": str(approval.pk), **what, **policy}


def close(app: App, task: Task) -> None:
    """Closes what a task waited for, in the transaction that ends it."""
    left = Approval.objects.filter(task=task, status=Status.OPEN)
    for approval in left.filter(due_at__isnull=False).only("pk"):
        entries.remove(app, approval.pk, kind=ENTRY)
    left.update(status=Status.CANCELLED, closed_at=Now(), due_at=None)


# --- Deciding ---------------------------------------------------------------------------------------------------------
def decide(
    app: App,
    approval: Approval,
    decision: str,
    *,
    by: Caller,
    comment: str = "",
    arguments: dict[str, Any] | None = None,
    answer: Any = None,
    grant: Terms | None = None,
) -> Approval:
    """Decides, inside the App; the approval as it is then: still open where others have to agree.

    `arguments` change the call, `answer` answers a question or says what a call in doubt has returned, `grant` lets
    further calls of the tool run without asking. Raises AlreadyDecided (or TooLate), NotEntitled, DecisionNotPossible,
    DecisionInvalid or AlreadyCounted; then nothing was changed.
    """
    with transaction.atomic():
        _lock(approval)
        rights.check(approval, by)
        choice, changed = _checked(approval, decision, arguments, answer, grant)
        made = _write_decision(
            approval, by.actor, Verb(decision), comment=comment, arguments=changed, answer=answer, grant=grant
        )
        needed = approval.required if choice.agrees else 1
        agreeing = _agreeing(approval, made) if needed > 1 else [made]
        missing = needed - len(agreeing)
        if missing > 0:
            _record_decision(approval, made, {"missing": missing})
        else:
            given = grants.give(approval, grant, [one.actor for one in agreeing]) if grant else None
            _record_decision(approval, made, {"grant": str(given.pk)} if given else {})
            verdict = Verdict(
                Verb(decision), by.actor, comment, changed, answer, decisions=tuple(one.pk for one in agreeing)
            )
            carry_out(app, approval, choice, verdict, choice.closes_as)
    reach(Point.DECISION_WRITTEN)
    approval.refresh_from_db()
    return approval


def _lock(approval: Approval) -> None:
    """Locks the task and reads the approval anew. Raises AlreadyDecided, also if its time is over."""
    tasks.lock(approval.task)
    approval.refresh_from_db(from_queryset=Approval.objects.select_related("task"))
    if approval.status != Status.OPEN:
        raise (TooLate if approval.status == Status.EXPIRED else AlreadyDecided)(how_closed(approval))
    if approval.expires_at is not None and approval.expires_at <= sql.instant():
        raise TooLate(f"its time was over at {approval.expires_at.isoformat(timespec='seconds')}")


def _checked(
    approval: Approval, decision: str, arguments: dict[str, Any] | None, answer: Any, grant: Terms | None
) -> tuple[Choice, dict[str, Any] | None]:
    """The choice, and the arguments if they are others than those that were asked about."""
    possible = choices(approval)
    if decision not in possible:
        words = ", ".join(verb.value for verb in possible)
        raise DecisionNotPossible(
            f"An approval of kind {approval.kind} cannot be decided by {decision!r}; possible: {words}"
            f" (POST /approvals/{approval.pk}/decide)."
        )
    choice = possible[Verb(decision)]
    if arguments is not None and not choice.takes_arguments:
        raise DecisionInvalid.at("arguments", f"A decision to {decision} changes no arguments.")
    if grant is not None and not choice.takes_grant:
        raise DecisionInvalid.at("grant", f"A decision to {decision} grants nothing.")
    if choice.takes_answer and answer is None:
        what = "answer; the model reads it" if approval.kind == Kind.QUESTION else _RESULT
        raise DecisionInvalid.at("answer", f"Give the {what}.")
    if not choice.takes_answer and answer is not None:
        raise DecisionInvalid.at("answer", f"A decision to {decision} takes no answer.")
    if grant is not None:
        grants.check(grant)
    if choice.takes_answer and approval.kind == Kind.QUESTION and approval.schema is not None:
        _check_schema(approval.schema, answer, "answer")
    if arguments is None or exact.digest(approval.tool, arguments) == approval.digest:
        return choice, None
    _check_schema(approval.schema or {}, arguments, "arguments")
    return choice, arguments


def _check_schema(schema: dict[str, Any], value: Any, name: str) -> None:
    if faults := exact.faults(schema, value, name):
        raise DecisionInvalid(faults)


def _write_decision(
    approval: Approval, actor: str, verb: Decision.Verb, *, comment: str, grant: Terms | None, **values: Any
) -> Decision:
    same = exact.digest(verb.value, values["arguments"], values["answer"], grant.as_json() if grant else None)
    mine = {"approval": approval, "level": approval.level, "actor": actor, "digest": same}
    if Decision.objects.filter(**mine).exists():
        raise AlreadyCounted("You have decided so already; somebody else has to agree too.")
    made = Decision.objects.create(decision=verb, comment=comment, **mine, **values)
    reach(Point.DECISION_WRITES)
    return made


def _agreeing(approval: Approval, made: Decision) -> list[Decision]:
    """The decisions of this level that are the same; each is another person's."""
    return list(Decision.objects.filter(approval=approval, level=made.level, digest=made.digest).order_by("id"))


def _record_decision(approval: Approval, made: Decision, more: dict[str, Any]) -> None:
    payload = {**facts(approval), "decision": made.decision, **more}
    payload |= {"comment": made.comment} if made.comment else {}
    payload |= {"changed": True} if made.arguments is not None else {}
    record(approval.task_id, NewEvent(EventType.APPROVAL_DECIDED, payload, made.actor))


def carry_out(app: App, approval: Approval, choice: Choice, verdict: Verdict, status: Approval.Status) -> None:
    """Closes the (locked) approval and does what was decided; the task goes on if it waits for nothing else."""
    Approval.objects.filter(pk=approval.pk, status=Status.OPEN).update(
        status=status, outcome=verdict.verb, closed_at=Now(), due_at=None
    )
    if approval.due_at is not None:
        entries.remove(app, approval.pk, kind=ENTRY)
    if not choice.effect(approval, verdict):
        close(app, approval.task)
    elif not Approval.objects.filter(task=approval.task_id, status=Status.OPEN).exists():
        tasks.resume(app, approval.task, by=verdict.by)


def how_closed(approval: Approval) -> str:
    """How an approval was closed, and by whom, for people."""
    if approval.status == Status.EXPIRED:
        return f"nobody decided until {_at(approval.closed_at)}, which counts as {approval.outcome}"
    made = Decision.objects.filter(approval=approval, decision=approval.outcome).order_by("-id").first()
    if made is None:
        return "its task ended before anybody decided"
    return f"{made.decision} by {made.actor} at {_at(made.at)}"


def _at(instant: datetime | None) -> str:
    return instant.isoformat(timespec="seconds") if instant else ""


# --- Several at once --------------------------------------------------------------------------------------------------
def decide_all(app: App, task: Task, decision: str, *, by: Caller, only: UUID | None = None, **more: Any) -> None:
    """Decides every open approval of the task in the same way (or `only` that one): all of them or none.

    Raises NothingToDecide, and what `decide` raises.
    """
    with transaction.atomic():
        waiting = Approval.objects.filter(task=task, status=Status.OPEN).select_related("task").order_by("id")
        found = list(waiting if only is None else waiting.filter(pk=only))
        if not found:
            raise NothingToDecide("The task has no open approval" + (" of that id." if only else "."))
        for approval in found:
            decide(app, approval, decision, by=by, **more)


@dataclass(frozen=True)
class Batch:
    """What became of each of many: decided, or why not."""

    decided: list[UUID] = field(default_factory=list)
    skipped: list[tuple[UUID, str]] = field(default_factory=list)


def decide_batch(app: App, ids: Sequence[UUID], decision: str, *, by: Caller, comment: str = "") -> Batch:
    """Decides about each by itself, in the same way; one that cannot be decided holds up no other."""
    batch = Batch()
    found = Approval.objects.select_related("task").in_bulk(ids)
    for approval_id in dict.fromkeys(ids):
        if (approval := found.get(approval_id)) is None:
            batch.skipped.append((approval_id, "There is no such approval."))
            continue
        try:
            decide(app, approval, decision, by=by, comment=comment)
        except ApprovalError as error:
            batch.skipped.append((approval_id, str(error)))
        else:
            batch.decided.append(approval_id)
    return batch
