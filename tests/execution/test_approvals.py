"""Calls that wait for people, in real runs: what asks, and what the run does with each decision."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from apps.approvals import lifecycle as approvals
from apps.approvals.grants import Terms
from apps.approvals.models import Approval
from apps.queue.models import QueueEntry
from apps.tasks import forks, lifecycle, replay
from apps.tasks.integrity import complaints
from apps.tasks.models import DeadLetter, Task, TaskStatus
from apps.tenancy.models import App
from tests.support import functions
from tests.support.agents import apply, call, function_tool, one_llm_agent, submit
from tests.support.doubt import interrupted
from tests.support.people import ANNA, OTTO
from tests.support.work import asks, ended, event_types, payloads, wait_for, working

ROOT = Path(__file__).resolve().parent.parent.parent
PAID = {"text": "Paid."}


def results(task: Task) -> dict[str, Any]:
    return {point.key: point.content["value"] for point in task.checkpoints.filter(kind="tool_result")}


def configure(app: App, *turns: dict[str, Any], policies: dict[str, Any] | None = None, **options: Any) -> None:
    """An agent that charges 5, whose tool needs approval unless the options say otherwise."""
    tool = options.pop("tool", {})
    tools = options.pop("tools", {"charge": function_tool("charge", **{"require_approval": True, **tool})})
    document = one_llm_agent(*(turns or (call("charge", amount=5),)), PAID, tools=tools, **options)
    apply(app, document | {"approval_policies": policies or {}}, by="tests")


# --- What a decision does ---------------------------------------------------------------------------------------------
def test_a_call_that_needs_approval_runs_once_it_is_approved(app: App) -> None:
    configure(app, tool={"approval_prompt": "Charge the customer?", "risk": "high"})
    task = submit(app)
    with working():
        [approval] = asks(task)
        assert functions.calls["charge"] == 0 and not QueueEntry.objects.exists()
        approvals.decide(app, approval, "approve", by=ANNA)
        ended(task)
    assert (approval.kind, approval.arguments, approval.prompt) == ("tool_call", {"amount": 5}, "Charge the customer?")
    assert (approval.risk, approval.requester, approval.schema["required"]) == ("high", "tests", ["amount"])
    assert (task.status, task.output, functions.calls["charge"]) == (TaskStatus.COMPLETED, PAID, 1)
    assert payloads(task, "tool_call_started")[0]["approval"] == str(approval.pk)
    assert complaints(app) == []


def test_a_task_that_waits_survives_every_worker_and_a_new_configuration(app: App) -> None:
    configure(app)
    task = submit(app)
    with working():
        [approval] = asks(task)
    configure(app, {"text": "Other agent."}, tool={"require_approval": False})
    approvals.decide(app, approval, "approve", by=ANNA)
    with working():
        assert ended(task).output == PAID
    assert functions.calls["charge"] == 1


def test_a_rejected_call_never_runs_and_the_model_goes_on_with_the_comment(app: App) -> None:
    configure(app)
    task = submit(app)
    with working():
        [approval] = asks(task)
        approvals.decide(app, approval, "reject", by=ANNA, comment="Ask the customer first.")
        ended(task)
    assert (task.status, functions.calls["charge"]) == (TaskStatus.COMPLETED, 0)
    told = results(task)[approval.call]
    assert told == "A person has rejected this call; it did not run. They say: Ask the customer first."


def test_a_rejection_fails_the_task_where_the_tool_says_so(app: App) -> None:
    configure(app, tool={"on_reject": "fail"})
    task = submit(app)
    with working():
        [approval] = asks(task)
        approvals.decide(app, approval, "reject", by=ANNA, comment="no")
        ended(task)
    assert (task.status, functions.calls["charge"]) == (TaskStatus.FAILED, 0)
    assert DeadLetter.objects.get(task=task).error["code"] == "rejected"


def test_an_edited_call_runs_with_the_new_arguments_and_the_model_is_told(app: App) -> None:
    configure(app)
    task = submit(app)
    with working():
        [approval] = asks(task)
        approvals.decide(app, approval, "approve", by=ANNA, arguments={"amount": 3})
        ended(task)
    told = results(task)[approval.call]
    assert told["result"] == "charged 3" and told["arguments"] == {"amount": 3}
    assert "other arguments than yours" in told["note"]
    assert payloads(task, "tool_call_started")[0]["arguments"] == {"amount": 3}


def test_arguments_that_the_tool_refuses_in_the_end_are_told_to_the_model(app: App) -> None:
    """Its schema allows more than it does."""
    configure(app)
    task = submit(app)
    with working():
        [approval] = asks(task)
        Approval.objects.update(schema={})
        approvals.decide(app, approval, "approve", by=ANNA, arguments={"amount": "a lot"})
        ended(task)
    assert (task.status, functions.calls["charge"]) == (TaskStatus.COMPLETED, 0)
    assert "The tool refused the arguments, so it did not run" in results(task)[approval.call]


def test_the_answer_to_a_question_is_the_result_of_the_call(app: App) -> None:
    schema = {"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}
    tools = {"ask": {"type": "ask_human", "answer_schema": schema, "risk": "low"}}
    configure(app, call("ask", question="Which colour?"), tools=tools)
    task = submit(app)
    with working():
        [approval] = asks(task)
        assert (approval.kind, approval.prompt, approval.schema, approval.risk) == (
            "question", "Which colour?", schema, "low",
        )  # fmt: skip
        approvals.decide(app, approval, "answer", by=ANNA, answer={"colour": "red"})
        ended(task)
    assert results(task) == {approval.call: {"colour": "red"}}
    assert task.output == PAID


# --- One decision, one execution --------------------------------------------------------------------------------------
def test_a_call_that_was_approved_and_cut_off_is_in_doubt_and_runs_again_only_if_somebody_says_so(app: App) -> None:
    policies = {"two": {"required": 2, "expires_in": "1h", "on_expiry": "approve"}}
    tools = {"slow_charge": function_tool("slow_charge", require_approval="two")}
    document = one_llm_agent(call("slow_charge", amount=5), PAID, tools=tools) | {"approval_policies": policies}
    apply(app, document, by="tests")
    task = submit(app)
    with working():
        [approval] = asks(task)
        for person in (ANNA, OTTO):
            approvals.decide(app, approval, "approve", by=person, arguments={"amount": 4})
        wait_for(lambda: functions.calls["slow_charge"] == 1, what="the tool started")
        QueueEntry.objects.update(epoch=99)  # as after a frozen host: another worker has it
    QueueEntry.objects.update(state="ready", worker=None, leased_at=None)
    with working():
        [doubt] = asks(task)
        # The policy that let it run decides whether it runs again, but never by time alone.
        assert (doubt.kind, doubt.arguments, doubt.required, doubt.expires_at) == ("in_doubt", {"amount": 4}, 2, None)
        approvals.decide(app, doubt, "run_again", by=ANNA)
        approvals.decide(app, doubt, "run_again", by=OTTO)
        wait_for(lambda: functions.calls["slow_charge"] == 2, what="the tool ran again")
        lifecycle.cancel(app, task, by="tests")
        ended(task)
    assert [started["arguments"] for started in payloads(task, "tool_call_started")] == [{"amount": 4}] * 2


def test_a_call_that_failed_its_attempt_needs_another_approval_to_run_again(app: App) -> None:
    configure(
        app,
        call("flaky_charge", amount=5),
        tools={"flaky_charge": function_tool("flaky_charge", require_approval=True)},
    )
    task = submit(app)
    with working():
        [first] = asks(task)
        approvals.decide(app, first, "approve", by=ANNA)
        wait_for(lambda: functions.calls["flaky_charge"] == 1, what="it ran")
        second = wait_for(lambda: Approval.objects.filter(task=task, status="open").first(), what="it asks again")
        assert "It ran before, and failed: the bank is busy" in second.prompt
        approvals.decide(app, second, "approve", by=ANNA)
        ended(task)
    assert (task.status, functions.calls["flaky_charge"]) == (TaskStatus.COMPLETED, 2)


def test_an_idempotent_call_goes_on_under_its_decision(app: App) -> None:
    tool = function_tool("flaky_charge", require_approval=True, idempotent=True)
    configure(app, call("flaky_charge", amount=5), tools={"flaky_charge": tool})
    task = submit(app)
    with working():
        [approval] = asks(task)
        approvals.decide(app, approval, "approve", by=ANNA)
        ended(task)
    assert (task.status, functions.calls["flaky_charge"]) == (TaskStatus.COMPLETED, 2)
    assert Approval.objects.count() == 1


@pytest.mark.parametrize("verb", ["retry", "fork"])
def test_a_decision_about_one_execution_lets_no_other_begin(app: App, verb: str) -> None:
    turn = {"calls": [{"tool": "charge", "arguments": {"amount": n}} for n in (1, 2)]}
    configure(app, turn)
    task = submit(app)
    with working():
        for approval in asks(task):
            approvals.decide(app, approval, "approve", by=ANNA)
        ended(task)
        first = task.checkpoints.filter(kind="tool_result").order_by("seq")[0].seq  # the other call has not run by then
        if verb == "retry":
            Task.objects.filter(pk=task.pk).update(status="cancelled")
            again = lifecycle.retry(app, task, by="tests", from_checkpoint=first)
        else:
            again = forks.fork(app, task, by="tests", from_checkpoint=first)
        plan = replay.plan(again)
        [approval] = asks(again)
    assert functions.calls["charge"] == 2
    assert (approval.kind, len(plan.tool_calls) + len(plan.in_doubt)) == (approval.kind, 1)


# --- What asks --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("amount", "asked"), [(100, False), (101, True), ("lots", None)], ids=["false", "true", "not to be said"]
)
def test_a_condition_on_the_arguments_decides_whether_to_ask(app: App, amount: Any, asked: bool | None) -> None:
    tool = {"require_approval": {"when": "args.amount > 100 && task.created_by == 'tests' && agent == 'agent'"}}
    tools = {"charge_any": function_tool("charge_any", **tool)}
    configure(app, call("charge_any", amount=amount), tools=tools)
    task = submit(app)
    with working():
        if asked is False:
            assert ended(task).output == PAID
            return
        [approval] = asks(task)
    reason = "` holds." if asked else "` holds cannot be said: "
    assert reason in approval.prompt
    assert functions.calls["charge_any"] == 0


def test_the_tools_of_an_mcp_server_that_are_named_wait_and_the_others_do_not(app: App, settings: Any) -> None:
    server = {
        "type": "mcp", "command": sys.executable, "args": ["-m", "tests.support.mcp_server"],
        "env": {"PYTHONPATH": str(ROOT)}, "filter": ["echo", "add"], "require_approval": ["add"],
    }  # fmt: skip
    configure(app, call("echo", text="hi"), call("add", a=1, b=2), tools={"server": server})
    task = submit(app)
    with working():
        [approval] = asks(task)
        assert (approval.tool, results(task)) == ("add", {"tool:1:call_0_0": "hi"})
        assert approval.schema["properties"]["a"]["type"] == "integer"
        approvals.decide(app, approval, "approve", by=ANNA, arguments={"a": 1, "b": 41})
        ended(task)
    assert task.status == TaskStatus.COMPLETED, task.error
    assert results(task)[approval.call]["result"] == 42


def test_a_name_that_the_mcp_server_does_not_have_lets_nothing_run(app: App) -> None:
    server = {
        "type": "mcp", "command": sys.executable, "args": ["-m", "tests.support.mcp_server"],
        "env": {"PYTHONPATH": str(ROOT)}, "require_approval": ["ad"],
    }  # fmt: skip
    configure(app, call("add", a=1, b=2), tools={"server": server})
    with working():
        task = ended(submit(app))
    assert task.error is not None and task.error["code"] == "bad_config"
    assert "require_approval names ad" in task.error["message"]


# --- Limits -----------------------------------------------------------------------------------------------------------
LOOK_UPS = tuple(call("look_up", order=name) for name in "abcd")


@pytest.mark.parametrize(
    ("limits", "used"), [({"requests": 2}, 3), ({"tool_calls": 1}, 2), ({"wall_clock": "1ms"}, None)], ids=str
)
def test_a_limit_that_asks_is_raised_until_somebody_says_no(app: App, limits: Any, used: int | None) -> None:
    tools = {"look_up": function_tool("look_up")}
    configure(app, *LOOK_UPS, tools=tools, limits={**limits, "on_breach": "ask"})
    task = submit(app)
    [(name, _)] = limits.items()
    with working():
        [first] = asks(task)
        before = functions.calls["look_up"]
        value, more = first.arguments["value"], first.arguments["raise_by"]
        assert (first.kind, first.call) == ("budget", f"limit:{name}")
        assert used is None or (first.arguments["used"], more) == (used, value)
        assert first.arguments["used"] <= value + more and f"to {value + more:g}. Rejecting" in first.prompt
        approvals.decide(app, first, "approve", by=ANNA)
        [second] = asks(task)
        assert second.arguments["value"] == value + more
        assert used is None or functions.calls["look_up"] > before
        approvals.decide(app, second, "reject", by=ANNA, comment="enough")
        ended(task)
    assert task.error is not None and (task.status, task.error["code"]) == (TaskStatus.FAILED, "limit_reached")
    assert task.error["message"].endswith(f"{name}, and anna did not raise it: enough")
    assert complaints(app) == []


def test_tokens_that_broke_a_limit_are_counted_and_not_spent_again(app: App) -> None:
    """The first answer breaks it, and so does the last one, after which there is nothing left to do."""
    configure(app, *LOOK_UPS[:1], tools={"look_up": function_tool("look_up")}, limits={"tokens": 1, "on_breach": "ask"})
    task = submit(app)
    with working():
        for requests in (1, 2):
            [approval] = asks(task)
            assert (task.usage["requests"], functions.calls["look_up"]) == (requests, requests - 1)
            approvals.decide(app, approval, "approve", by=ANNA)
            wait_for(lambda: Task.objects.get(pk=task.pk).status != TaskStatus.INPUT_REQUIRED, what="it goes on")
        ended(task)
    assert (task.output, event_types(task).count("llm_completed")) == (PAID, 2)


# --- Grants -----------------------------------------------------------------------------------------------------------
CHARGES = tuple(call("charge", amount=amount) for amount in (1, 2, 3))


def test_a_grant_for_a_task_covers_no_other(app: App) -> None:
    configure(app, *CHARGES)
    task, other = submit(app), submit(app)
    with working():
        [approval] = asks(task)
        approvals.decide(app, approval, "approve", by=ANNA, grant=Terms())
        ended(task)
        asks(other)
    assert functions.calls["charge"] == 3


# --- Time -------------------------------------------------------------------------------------------------------------
def test_what_nobody_decides_expires_on_a_worker_and_the_run_goes_on(app: App) -> None:
    hurried = {"expires_in": "1200ms", "remind_after": "100ms", "on_expiry": "escalate", "escalate_to": "bosses"}
    bosses = {"approvers": {"role": "admin"}, "expires_in": "300ms", "on_expiry": "approve"}
    configure(app, tool={"require_approval": "hurried"}, policies={"hurried": hurried, "bosses": bosses})
    task = submit(app)
    with working():
        ended(task)
    assert (task.status, functions.calls["charge"]) == (TaskStatus.COMPLETED, 1)
    told = [name for name in event_types(task) if name.startswith("approval_")]
    assert told == ["approval_requested", "approval_reminded", "approval_escalated", "approval_expired"]
    assert Approval.objects.get().status == "expired" and not QueueEntry.objects.exists()
    assert complaints(app) == []


def test_a_call_in_doubt_of_a_tool_that_needs_no_approval_is_anybodys_who_approves(app: App) -> None:
    task = interrupted(app, "slow_charge")
    with working():
        [approval] = asks(task)
    assert (approval.role, approval.required, approval.due_at) == ("approver", 1, None)
