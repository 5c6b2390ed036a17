"""Asking people, and what they decide.

A run asks by ending (`ask`): the task and its open approvals are one transaction, and from then on the task holds no
worker. A decision, its event and what it does to the task are one transaction too; the task goes back into the queue
with the decision that closes its last open approval. Both lock the task's row first, so two people who decide at once
take turns, and the second one is told what the first has decided.

What may be decided depends on the kind of approval (`choices`). Of these kinds, `in_doubt` exists so far: a call of a
tool that is not idempotent had begun when its worker died, or when its attempt was stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from apps.approvals.errors import AlreadyDecided, DecisionInvalid, DecisionNotPossible, NothingToDecide
from apps.approvals.models import Approval, Decision
from apps.tasks import journal
from apps.tasks import lifecycle as tasks
from apps.tasks.errors import TaskError
from apps.tasks.events import EventType, NewEvent, record
from apps.tasks.journal import NewCheckpoint, Run, Settlement
from apps.tasks.models import Checkpoint, Task
from apps.tenancy.models import App

Kind, Status, Verb = Approval.Kind, Approval.Status, Decision.Verb


@dataclass(frozen=True)
class Call:
    """A tool call that a run cannot go on without a decision about. `key` is the journal's."""

    kind: Approval.Kind
    key: str
    tool: str
    arguments: Any


# --- Asking -----------------------------------------------------------------------------------------------------------
def ask(app: App, run: Run, calls: Sequence[Call]) -> Settlement:
    """Ends a run: its task waits until people have decided about all of the calls."""
    approvals = [_approval(run.task_id, call) for call in calls]
    events = [NewEvent(EventType.APPROVAL_REQUESTED, _facts(approval)) for approval in approvals]
    tools = ", ".join(sorted({call.tool for call in calls}))
    return journal.wait_for_person(
        run, f"a person has to decide about {tools}", events, lambda: _write(app, run.task_id, approvals)
    )


def _approval(task_id: UUID, call: Call) -> Approval:
    prompt = (
        f"The tool {call.tool} had been started when its attempt was cut short, and is not declared idempotent:"
        " it may or may not have taken effect."
    )
    return Approval(
        task_id=task_id, kind=call.kind, call=call.key, tool=call.tool, arguments=call.arguments,
        digest=digest(call.tool, call.arguments), prompt=prompt,
    )  # fmt: skip


def digest(tool: str, arguments: Any) -> str:
    """What a decision is bound to: this tool with exactly these arguments."""
    exact = json.dumps([tool, arguments], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(exact.encode()).hexdigest()


def _write(app: App, task_id: UUID, approvals: list[Approval]) -> None:
    Approval.objects.bulk_create(approvals)
    asked_to_stop = Task.objects.filter(pk=task_id, cancel_requested_at__isnull=False).first()
    if asked_to_stop is not None:  # while its run was ending: nobody shall be asked for it any more
        tasks.cancel(app, asked_to_stop, by="", reason="it was asked to stop before it began to wait")


def _facts(approval: Approval) -> dict[str, Any]:
    return {
        "approval": str(approval.pk), "kind": str(approval.kind), "tool": approval.tool, "call": approval.call,
    }  # fmt: skip


def close(task: Task) -> None:
    """Closes what a task waited for, in the transaction that ends it."""
    Approval.objects.filter(task=task, status=Status.OPEN).update(status=Status.CANCELLED, closed_at=Now())


# --- Deciding ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Choice:
    """A way to decide: what it closes the approval as, and what it does, in words and to the (locked) task.

    `effect` gets the approval and the decision, and says whether the task can go on.
    """

    closes_as: Approval.Status
    label: str
    does: str
    effect: Callable[[Approval, Decision], bool]
    wants_answer: bool = False


def _ran(approval: Approval, decision: Decision) -> bool:
    result = {"kind": "value", "value": decision.answer}
    journal.add_checkpoint(approval.task_id, NewCheckpoint(Checkpoint.Kind.TOOL_RESULT, approval.call, result))
    return True


def _run_again(approval: Approval, decision: Decision) -> bool:
    mark = {"decided": Verb.RUN_AGAIN.value, "approval": str(approval.pk)}
    journal.add_checkpoint(approval.task_id, NewCheckpoint(Checkpoint.Kind.TOOL_FAILED, approval.call, mark))
    return True


def _fail(approval: Approval, decision: Decision) -> bool:
    why = f": {decision.comment}" if decision.comment else ""
    error = TaskError("in_doubt", f"it is not known whether {approval.tool} ran; {decision.actor} ended the task{why}")
    tasks.fail_waiting(approval.task, error, by=decision.actor)
    close(approval.task)
    return False


_CHOICES: dict[str, dict[Decision.Verb, Choice]] = {
    Kind.IN_DOUBT: {
        Verb.RAN: Choice(
            Status.APPROVED, "It ran", "The tool is not run again; the model gets the result that you give here.",
            _ran, wants_answer=True,
        ),
        Verb.RUN_AGAIN: Choice(
            Status.APPROVED, "Run it again", "The tool is run once more, with exactly these arguments.", _run_again
        ),
        Verb.FAIL: Choice(
            Status.REJECTED, "Fail the task", "The task ends as failed and is filed with the dead letters.", _fail
        ),
    },
}  # fmt: skip


def choices(approval: Approval) -> dict[Decision.Verb, Choice]:
    """How this kind of approval can be decided."""
    return _CHOICES.get(approval.kind, {})


def decide(
    app: App,
    approval: Approval,
    *,
    by: str,
    decision: str,
    comment: str = "",
    arguments: dict[str, Any] | None = None,
    answer: Any = None,
) -> Approval:
    """Decides; `answer` is the result of a call that ran. Called inside the App.

    Raises AlreadyDecided, DecisionNotPossible or DecisionInvalid; then nothing was changed.
    """
    choice = _checked(approval, decision, arguments, answer)
    with transaction.atomic():
        task = approval.task
        tasks.lock(task)
        closed = Approval.objects.filter(pk=approval.pk, status=Status.OPEN)
        if not closed.update(status=choice.closes_as, closed_at=Now()):
            raise AlreadyDecided(how_closed(approval))
        made = Decision.objects.create(approval=approval, actor=by, decision=decision, comment=comment, answer=answer)
        payload = {**_facts(approval), "decision": decision, **({"comment": comment} if comment else {})}
        record(task.pk, NewEvent(EventType.APPROVAL_DECIDED, payload, by))
        goes_on = choice.effect(approval, made)
        if goes_on and not Approval.objects.filter(task=task, status=Status.OPEN).exists():
            tasks.resume(app, task, by=by)
    approval.refresh_from_db()
    return approval


def decide_all(app: App, task: Task, *, by: str, decision: str, only: UUID | None = None, **more: Any) -> None:
    """Decides every open approval of the task in the same way (or `only` that one): all of them or none.

    Raises NothingToDecide, and what `decide` raises.
    """
    with transaction.atomic():
        waiting = Approval.objects.filter(task=task, status=Status.OPEN).order_by("id")
        found = list(waiting if only is None else waiting.filter(pk=only))
        if not found:
            raise NothingToDecide("The task has no open approval" + (" of that id." if only else "."))
        for approval in found:
            decide(app, approval, by=by, decision=decision, **more)


def _checked(approval: Approval, decision: str, arguments: Any, answer: Any) -> Choice:
    possible = choices(approval)
    if decision not in possible:
        words = ", ".join(verb.value for verb in possible)
        raise DecisionNotPossible(
            f"An approval of kind {approval.kind} cannot be decided by {decision!r}; possible: {words}"
            f" (POST /approvals/{approval.pk}/decide)."
        )
    choice = possible[Verb(decision)]
    if arguments is not None:
        raise DecisionInvalid("arguments", "The arguments of a call that may have run already cannot be changed.")
    if choice.wants_answer and answer is None:
        raise DecisionInvalid("answer", "Give the result of the call; it is recorded as what the tool has returned.")
    if not choice.wants_answer and answer is not None:
        raise DecisionInvalid("answer", f"A decision to {decision} takes no answer.")
    return choice


def how_closed(approval: Approval) -> str:
    """How an approval was closed, and by whom, for people."""
    made = Decision.objects.filter(approval=approval).order_by("-id").first()
    if made is None:
        return "its task ended before anybody decided"
    return f"{made.decision} by {made.actor} at {made.at.isoformat(timespec='seconds')}"
