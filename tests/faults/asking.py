"""A task that asks people four times: about the two calls of its first answer, about a call of its second one, and
about its limit. How it is decided, and what must have become of it in the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from apps.approvals import lifecycle as approvals
from apps.approvals.models import Approval
from apps.tasks.models import FINAL, Checkpoint, Task, TaskStatus
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.faults.scenario import Scenario
from tests.support.agents import call, one_llm_agent
from tests.support.people import ANNA

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
