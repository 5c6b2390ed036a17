"""The ways to decide about each kind of approval, and what each does to the task.

An effect writes into the task's journal what the run goes on with, or ends the task. It is called with the task locked,
in the transaction that closes the approval.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from apps.approvals import exact
from apps.approvals.models import Approval, Decision
from apps.quotas import counting
from apps.quotas.models import Use
from apps.quotas.rules import Rule, units
from apps.tasks import journal
from apps.tasks import lifecycle as tasks
from apps.tasks.errors import TaskError
from apps.tasks.journal import NewCheckpoint
from apps.tasks.models import Checkpoint

Kind, Status, Verb = Approval.Kind, Approval.Status, Decision.Verb


OF_BUDGET = "budget:"  # begins the `call` of what is asked about a budget of the App; of the agent's own: `limit:`


@dataclass(frozen=True)
class Verdict:
    """What was decided in the end, by people or (`by` is empty) because nobody did in time."""

    verb: Decision.Verb
    by: str = ""
    comment: str = ""
    arguments: dict[str, Any] | None = None  # what the call was changed to
    answer: Any = None
    decisions: tuple[int, ...] = ()  # the ids of those that agreed


@dataclass(frozen=True)
class Choice:
    """A way to decide: what it closes the approval as, and what it does, in words and to the task.

    `effect` says whether the task can go on. With `agrees` it takes as many people as the policy requires, else one.
    """

    closes_as: Approval.Status
    label: str
    does: str
    effect: Callable[[Approval, Verdict], bool]
    agrees: bool = True
    takes_arguments: bool = False
    takes_answer: bool = False
    takes_grant: bool = False


def choices(approval: Approval) -> dict[Decision.Verb, Choice]:
    """How this approval can be decided."""
    possible = _OF_APP if approval.call.startswith(OF_BUDGET) else _CHOICES[Kind(approval.kind)]
    if approval.on_reject == Approval.OnReject.FAIL and Verb.REJECT in possible:
        return {**possible, Verb.REJECT: _REJECT_AND_FAIL}
    return possible


def on_expiry(approval: Approval, outcome: str) -> tuple[Decision.Verb, Choice]:
    """What becomes of an approval that nobody decided about, where its policy says so (`ApprovalPolicy.on_expiry`).

    A question cannot be approved, and a budget fails with the reason of its limit.
    """
    possible = choices(approval)
    if outcome == "approve" and Verb.APPROVE in possible:
        return Verb.APPROVE, possible[Verb.APPROVE]
    if outcome == "fail" and approval.kind != Kind.BUDGET:
        return Verb.FAIL, _REJECT_AND_FAIL
    return Verb.REJECT, possible[Verb.REJECT]


# --- Effects ----------------------------------------------------------------------------------------------------------
def _note(approval: Approval, kind: Checkpoint.Kind, value: dict[str, Any]) -> bool:
    journal.add_checkpoint(approval.task_id, NewCheckpoint(kind, approval.call, value))
    return True


def _run_again(approval: Approval, verdict: Verdict) -> bool:
    """The arguments are those that the call was started with, which may have been changed by a person."""
    started_with = approval.arguments if exact.digest(approval.tool, approval.arguments) == approval.digest else None
    return _let_run(approval, replace(verdict, arguments=started_with))


def _let_run(approval: Approval, verdict: Verdict) -> bool:
    """The run finds this at its call, and starts the call once, with arguments of exactly this digest."""
    mark: dict[str, Any] = {
        "decided": verdict.verb.value, "approval": str(approval.pk), "decisions": list(verdict.decisions),
        "by": verdict.by, "digest": approval.digest,
    }  # fmt: skip
    if verdict.arguments is not None:
        mark |= {"arguments": verdict.arguments, "digest": exact.digest(approval.tool, verdict.arguments)}
    return _note(approval, Checkpoint.Kind.TOOL_DECIDED, mark)


def _reject(approval: Approval, verdict: Verdict) -> bool:
    who = "A person has rejected this call" if verdict.by else "Nobody approved this call in time"
    if approval.kind == Kind.QUESTION:
        who = "The question was declined" if verdict.by else "Nobody answered in time"
    ran = "." if approval.kind == Kind.QUESTION else "; it did not run."
    comment = f" They say: {verdict.comment}" if verdict.comment else ""
    return _note(approval, Checkpoint.Kind.TOOL_RESULT, {"kind": "failed", "value": f"{who}{ran}{comment}"})


def _reject_and_fail(approval: Approval, verdict: Verdict) -> bool:
    what = f"the call of {approval.tool}" if approval.kind == Kind.TOOL_CALL else f"the question of {approval.tool}"
    if not verdict.by:
        return fail(approval, TaskError("approval_expired", f"nobody decided about {what} in time"), verdict)
    return fail(approval, TaskError("rejected", f"{verdict.by} rejected {what}{_because(verdict)}"), verdict)


def _answer(approval: Approval, verdict: Verdict) -> bool:
    return _note(approval, Checkpoint.Kind.TOOL_RESULT, {"kind": "value", "value": verdict.answer})


def _fail_in_doubt(approval: Approval, verdict: Verdict) -> bool:
    why = f"it is not known whether {approval.tool} ran; {verdict.by} ended the task{_because(verdict)}"
    return fail(approval, TaskError("in_doubt", why), verdict)


def _raise_limit(approval: Approval, verdict: Verdict) -> bool:
    mark = {"approval": str(approval.pk), "raise_by": approval.arguments["raise_by"]}
    return _note(approval, Checkpoint.Kind.LIMIT_RAISED, mark)


def _raise_budget(approval: Approval, verdict: Verdict) -> bool:
    """To what was asked for, and not by it: many tasks may have asked for the same."""
    about = approval.arguments
    resource = Use.Resource(about["limit"])
    rule = Rule(Use.Kind(about["of"]), about["name"], resource, 0, about["window"])
    counting.raise_to(rule, about["start"], units(resource, about["raise_to"]))
    return True


def _keep_limit(approval: Approval, verdict: Verdict) -> bool:
    of_app = approval.call.startswith(OF_BUDGET)
    reached = "a budget of the App is used up at" if of_app else "the run reached its limit of"
    limit = f"{reached} {approval.arguments['value']:g} {approval.arguments['limit']}"
    who = f"{verdict.by} did not raise it" if verdict.by else "nobody raised it in time"
    code = "budget_used_up" if of_app else "limit_reached"
    return fail(approval, TaskError(code, f"{limit}, and {who}{_because(verdict)}"), verdict)


def fail(approval: Approval, error: TaskError, verdict: Verdict) -> bool:
    """Ends the task; its other open approvals are closed by whoever calls the effect."""
    tasks.fail_waiting(approval.task, error, by=verdict.by)
    return False


def _because(verdict: Verdict) -> str:
    return f": {verdict.comment}" if verdict.comment else ""


# --- The table --------------------------------------------------------------------------------------------------------
_REJECT_AND_FAIL = Choice(
    Status.REJECTED, "Reject", "The task ends as failed and is filed with the dead letters.", _reject_and_fail,
    agrees=False,
)  # fmt: skip
_CHOICES: dict[Approval.Kind, dict[Decision.Verb, Choice]] = {
    Kind.TOOL_CALL: {
        Verb.APPROVE: Choice(
            Status.APPROVED, "Approve", "The tool runs once, with exactly these arguments.", _let_run,
            takes_arguments=True, takes_grant=True,
        ),
        Verb.REJECT: Choice(
            Status.REJECTED, "Reject", "The tool does not run. The model is told so, with the comment, and goes on.",
            _reject, agrees=False,
        ),
    },
    Kind.QUESTION: {
        Verb.ANSWER: Choice(
            Status.APPROVED, "Answer", "The model gets the answer and goes on.", _answer, takes_answer=True
        ),
        Verb.REJECT: Choice(
            Status.REJECTED, "Decline", "The model is told that nobody answers, with the comment, and goes on.",
            _reject, agrees=False,
        ),
    },
    Kind.IN_DOUBT: {
        Verb.RAN: Choice(
            Status.APPROVED, "It ran", "The tool is not run again; the model gets the result that you give here.",
            _answer, takes_answer=True,
        ),
        Verb.RUN_AGAIN: Choice(
            Status.APPROVED, "Run it again", "The tool is run once more, with exactly these arguments.", _run_again
        ),
        Verb.FAIL: Choice(
            Status.REJECTED, "Fail the task", "The task ends as failed and is filed with the dead letters.",
            _fail_in_doubt, agrees=False,
        ),
    },
    Kind.BUDGET: {
        Verb.APPROVE: Choice(
            Status.APPROVED, "Raise the limit", "The task goes on, with its limit raised by the same amount again.",
            _raise_limit,
        ),
        Verb.REJECT: Choice(
            Status.REJECTED, "Fail the task", "The task ends as failed and is filed with the dead letters.",
            _keep_limit, agrees=False,
        ),
    },
}  # fmt: skip
_OF_APP = {
    Verb.APPROVE: Choice(
        Status.APPROVED, "Raise the budget", "All who use the budget get more of it in this window. The task goes on.",
        _raise_budget,
    ),
    Verb.REJECT: _CHOICES[Kind.BUDGET][Verb.REJECT],
}  # fmt: skip
