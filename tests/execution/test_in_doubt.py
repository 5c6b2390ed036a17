"""A tool that may have run when its worker died is not run again in silence: a person decides."""

from __future__ import annotations

from typing import Any

from apps.approvals import lifecycle as approvals
from apps.approvals.models import Approval
from apps.queue.models import QueueEntry
from apps.tasks import lifecycle, replay
from apps.tasks.integrity import complaints
from apps.tasks.models import Attempt, DeadLetter, TaskStatus
from apps.tenancy.models import App
from tests.support import functions
from tests.support.agents import apply, call, function_tool, one_llm_agent, submit
from tests.support.doubt import interrupted
from tests.support.people import ANNA
from tests.support.work import asks, ended, event_types, payloads, wait_for, working


def results(task: Any) -> list[Any]:
    return [point.content["value"] for point in task.checkpoints.filter(kind="tool_result").order_by("seq")]


def test_the_task_waits_with_the_exact_call_and_holds_nothing(app: App) -> None:
    task = interrupted(app, "slow_charge")
    with working():
        [approval] = asks(task)
    assert (approval.kind, approval.tool, approval.arguments) == ("in_doubt", "slow_charge", {"amount": 5})
    assert "may or may not have taken effect" in approval.prompt
    assert functions.calls["slow_charge"] == 1
    assert not QueueEntry.objects.exists()
    assert (task.attempt, task.waiting_since is not None) == (1, True)  # the crash counted, asking did not
    assert task.attempts.latest("id").outcome == Attempt.Outcome.PAUSED
    assert event_types(task)[-2:] == ["execution_paused", "approval_requested"]
    assert complaints(app) == []


def test_what_ran_is_not_run_again_and_the_model_gets_its_result(app: App) -> None:
    task = interrupted(app, "slow_charge")
    with working():
        [approval] = asks(task)
        approvals.decide(app, approval, "ran", by=ANNA, answer="charged 5, says the bank", comment="I asked")
        ended(task)
    assert (task.status, task.output) == (TaskStatus.COMPLETED, {"text": "Paid."})
    assert functions.calls["slow_charge"] == 1
    assert results(task) == ["charged 5, says the bank"]
    [decided] = payloads(task, "approval_decided")
    assert (decided["decision"], decided["comment"], decided["tool"]) == ("ran", "I asked", "slow_charge")
    assert task.events.get(type="approval_decided").actor == "anna"
    assert complaints(app) == []


def test_what_shall_run_again_runs_once_more(app: App) -> None:
    task = interrupted(app, "slow_charge")
    with working():
        [approval] = asks(task)
        functions.release.set()
        approvals.decide(app, approval, "run_again", by=ANNA)
        ended(task)
    assert (functions.calls["slow_charge"], results(task)) == (2, ["charged 5"])
    assert not Approval.objects.filter(status="open").exists()


def test_a_task_that_shall_fail_fails_with_the_reason(app: App) -> None:
    task = interrupted(app, "slow_charge")
    with working():
        [approval] = asks(task)
        approvals.decide(app, approval, "fail", by=ANNA, comment="the bank does not answer")
        ended(task)
    assert task.error is not None and (task.status, task.error["code"]) == (TaskStatus.FAILED, "in_doubt")
    assert "anna" in task.error["message"] and "the bank does not answer" in task.error["message"]
    assert DeadLetter.objects.filter(task=task, status="open").exists()
    assert functions.calls["slow_charge"] == 1
    assert complaints(app) == []


def test_all_calls_of_a_turn_that_are_in_doubt_are_asked_at_once_and_the_others_are_done(app: App) -> None:
    turn = {
        "calls": [
            {"tool": "slow_charge", "arguments": {"amount": 1}},
            {"tool": "slow_charge", "arguments": {"amount": 2}},
            {"tool": "look_up", "arguments": {"order": "A"}},
        ]
    }
    task = interrupted(app, "slow_charge", turn=turn, calls=2)
    with working():
        first, second = asks(task)
        assert [first.arguments, second.arguments] == [{"amount": 1}, {"amount": 2}]
        approvals.decide(app, second, "ran", by=ANNA, answer="two")
        task.refresh_from_db()
        assert task.status == TaskStatus.INPUT_REQUIRED  # the other one is still open
        approvals.decide(app, first, "ran", by=ANNA, answer="one")
        ended(task)
    assert task.status == TaskStatus.COMPLETED
    by_key = {point.key: point.content["value"] for point in task.checkpoints.filter(kind="tool_result")}
    assert [by_key[first.call], by_key[second.call]] == ["one", "two"]
    assert functions.calls["slow_charge"] == 2


def test_a_retry_says_that_it_will_ask_about_a_call_in_doubt_and_asks(app: App) -> None:
    task = interrupted(app, "slow_charge")
    with working():
        asks(task)
        lifecycle.cancel(app, task, by="anna")
        plan = replay.plan(task)
        assert ([call.tool for call in plan.in_doubt], plan.tool_calls) == (["slow_charge"], ())
        assert plan.sentence().endswith("A person is asked first, since nobody knows whether they ran: slow_charge.")
        lifecycle.retry(app, task, by="anna")
        asks(task)
    assert functions.calls["slow_charge"] == 1


def test_a_tool_that_was_stopped_by_a_time_limit_is_in_doubt_too(app: App) -> None:
    tools = {"slow_charge": function_tool("slow_charge")}
    apply(app, one_llm_agent(call("slow_charge", amount=5), {"text": "Paid."}, tools=tools), by="tests")
    task = submit(app, timeout_seconds=0.5)
    with working():
        [approval] = asks(task)
    assert functions.calls["slow_charge"] == 1
    assert approval.tool == "slow_charge"


def test_a_task_that_waits_for_a_person_is_cancelled_with_its_approvals(app: App) -> None:
    task = interrupted(app, "slow_charge")
    with working():
        [approval] = asks(task)
        task = lifecycle.cancel(app, task, by="anna")
    approval.refresh_from_db()
    assert (task.status, approval.status) == (TaskStatus.CANCELLED, "cancelled")
    assert complaints(app) == []


def test_an_idempotent_tool_is_run_again_by_itself(app: App) -> None:
    task = interrupted(app, "slow_charge", idempotent=True)
    with working():
        wait_for(lambda: functions.calls["slow_charge"] == 2, what="the tool runs again")
        lifecycle.cancel(app, task, by="anna")
        ended(task)
    assert task.status == TaskStatus.CANCELLED
