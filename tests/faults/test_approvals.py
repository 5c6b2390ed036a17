"""A process is killed at each write about approvals: what is asked, decided, granted, and comes due.

After each: what people let run has run once, its result stands at its own call, nobody is asked twice about the same,
and the invariants hold. (`test_matrix` has the other faults, where it comes to asking what became of a call.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pytest_django import DjangoDbBlocker, Settings

from apps.approvals import lifecycle as approvals
from apps.approvals.errors import AlreadyDecided
from apps.approvals.models import Approval, Grant
from apps.queue.faults import Point
from apps.tasks.models import FINAL, Checkpoint, Task, TaskStatus
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.faults.scenario import Scenario
from tests.support.agents import call, one_llm_agent
from tests.support.installation import Installation
from tests.support.people import ANNA
from tests.support.starter import Starter

Place = tuple[Point, int]  # a point, and which time that a process comes to it
# The worker asks about the first answer's two calls, about the second one's call, and about the limit.
BY_THE_WORKER: list[Place] = [
    *((Point.APPROVAL_WRITES, visit) for visit in (1, 2, 3)),
    (Point.TOOL_STARTS, 1),
    (Point.TOOL_ENDED, 1),
]
BY_WHO_DECIDES: list[Place] = [
    (Point.DECISION_WRITES, 1),
    (Point.GRANT_WRITES, 1),
    (Point.RESUME_WRITES, 1),
    (Point.DECISION_WRITTEN, 1),
]
IN_TIME: list[Place] = [(Point.DUE_WRITES, visit) for visit in (1, 2, 3)]  # reminder, escalation, expiry
POINTS = {point for point, _ in [*BY_THE_WORKER, *BY_WHO_DECIDES, *IN_TIME]}
IN_MAKE_TEST = {
    (Point.TOOL_STARTS, 1): "sqlite",
    (Point.RESUME_WRITES, 1): "postgresql",
    (Point.DECISION_WRITTEN, 1): "sqlite",
    (Point.DUE_WRITES, 2): "postgresql",
}
HURRIED = {
    "expires_in": "500ms", "remind_after": "200ms", "on_expiry": "escalate",
    "escalate_to": {"expires_in": "300ms", "on_expiry": "approve"},
}  # fmt: skip


def document(policy: dict[str, Any]) -> dict[str, Any]:
    turn = {"calls": [{"tool": "refund", "arguments": {"amount": 1}}, {"tool": "ask", "arguments": {"question": "?"}}]}
    tools = {
        "refund": {"type": "function", "handler": "tests.faults.programs.refund", "require_approval": "asks"},
        "ask": {"type": "ask_human"},
    }
    limits = {"requests": 2, "on_breach": "ask"}
    agent = one_llm_agent(turn, call("refund", amount=2), {"text": "All done."}, tools=tools, limits=limits)
    return agent | {"approval_policies": {"asks": policy}}


def each(places: list[Place]) -> pytest.MarkDecorator:
    def marks(place: Place) -> pytest.MarkDecorator:
        return pytest.mark.sampled(*([IN_MAKE_TEST[place]] if place in IN_MAKE_TEST else []))

    return pytest.mark.parametrize(
        "place", [pytest.param(place, id=f"{place[0]}-{place[1]}", marks=marks(place)) for place in places]
    )


@pytest.fixture
def policy() -> dict[str, Any]:
    return {}


@pytest.fixture
def asking(
    policy: dict[str, Any],
    installation: Installation,
    starter: Starter,
    django_db_blocker: DjangoDbBlocker,
    settings: Settings,
) -> Iterator[Scenario]:
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    with django_db_blocker.unblock():
        yield Scenario(installation, starter, document(policy))


@contextmanager
def inside(scenario: Scenario) -> Iterator[tuple[App, Task]]:
    with scenario.installation.inside(), in_app("default") as app:
        yield app, Task.objects.get(pk=scenario.task.pk)


def open_ones(scenario: Scenario) -> dict[str, Approval]:
    """By kind."""
    with inside(scenario) as (_, task):
        return {approval.kind: approval for approval in Approval.objects.filter(task=task, status="open")}


def decides(scenario: Scenario, approval: Approval) -> None:
    """Somebody decides so that the task goes on; of a call in doubt, after a look whether it has run."""
    how: dict[str, Any] = {"decision": "approve"}
    if approval.kind == "question":
        how = {"decision": "answer", "answer": "Yes."}
    if approval.kind == "in_doubt":
        amount = approval.arguments["amount"]
        has_run = scenario.ran()[f"refund-{amount}"]
        how = {"decision": "ran", "answer": f"refunded {amount}"} if has_run else {"decision": "run_again"}
    with inside(scenario) as (app, _):
        approvals.decide(app, Approval.objects.select_related("task").get(pk=approval.pk), by=ANNA, **how)


def goes_on_to_its_end(scenario: Scenario, *left_to_time: str) -> None:
    """People decide all that is asked but for those kinds."""

    def has_ended() -> bool:
        with inside(scenario) as (_, task):
            if task.status in FINAL:
                return True
        for kind, approval in open_ones(scenario).items():
            if kind not in left_to_time:
                decides(scenario, approval)
        return False

    scenario.wait_for(has_ended, "the task ended")
    scenario.wait_for(lambda: not scenario.complaints(), "the invariants hold")
    with inside(scenario) as (_, task):
        assert (task.status, task.output) == (TaskStatus.COMPLETED, {"text": "All done."}), task.error
        results = {point.key: point.content["value"] for point in Checkpoint.objects.filter(kind="tool_result")}
        asked = Counter(Approval.objects.values_list("kind", "call"))
    assert results == {"tool:1:call_0_0": "refunded 1", "tool:1:call_0_1": "Yes.", "tool:2:call_1_0": "refunded 2"}
    assert scenario.ran() == {"refund-1": 1, "refund-2": 1}
    assert set(asked.values()) == {1}, asked


@each(BY_THE_WORKER)
def test_a_worker_that_is_killed_while_it_asks_or_does_what_was_approved(asking: Scenario, place: Place) -> None:
    fault = asking.arm(place[0], "kill", visit=place[1])
    asking.start_host("one")
    goes_on_to_its_end(asking)
    asking.reached(fault)


@each(BY_WHO_DECIDES)
def test_a_process_that_is_killed_while_somebody_decides(asking: Scenario, place: Place) -> None:
    asking.start_host("one")
    found = asking.wait_for(lambda: open_ones(asking), "it asks")
    decides(asking, found["question"])  # the other decision is then the one with which the task goes on
    asking.arm(place[0], "kill")
    command = ("approve", str(found["tool_call"].pk), "--for-task")
    died = asking.installation.fork(asking.starter, *command, log=asking.log, HECTOR_FAULT=asking.faults[0])
    assert died.wait(30) == -9
    with inside(asking) as (app, task):
        approval = Approval.objects.select_related("task").get(pk=found["tool_call"].pk)
        if place[0] == Point.DECISION_WRITTEN:
            with pytest.raises(AlreadyDecided):
                approvals.decide(app, approval, "approve", by=ANNA)
        else:
            assert (approval.status, task.status) == ("open", TaskStatus.INPUT_REQUIRED)
            assert not approval.decisions.exists() and not Grant.objects.exists()
    goes_on_to_its_end(asking)


@pytest.mark.parametrize("policy", [HURRIED], ids=["hurried"])
@each(IN_TIME)
def test_a_worker_that_is_killed_while_something_comes_due(asking: Scenario, place: Place) -> None:
    fault = asking.arm(place[0], "kill", visit=place[1])
    asking.start_host("one")
    goes_on_to_its_end(asking, "tool_call")
    asking.reached(fault)
    with inside(asking) as (_, task):
        told = Counter(task.events.filter(payload__tool="refund").values_list("type", "payload__call"))
    assert set(told.values()) == {1}, told
    for name in ("requested", "escalated", "expired"):  # reminders come too late where starting anew takes long
        assert {("approval_" + name, key) for key in ("tool:1:call_0_0", "tool:2:call_1_0")} <= told.keys()
