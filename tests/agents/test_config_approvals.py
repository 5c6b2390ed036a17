"""Who has to agree to what: the faults of policies and conditions, where they are, and what a version pins."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from apps.agents import conditions
from apps.agents.conditions import ConditionFailed
from apps.agents.config.checks import validate
from apps.agents.config.spec import AgentSpec, resolve
from tests.agents.test_config_validate import LOOKUP, document, faults_of

BOSSES = {"approvers": {"role": "admin"}, "expires_in": "1h", "on_expiry": "fail"}
FOUR_EYES = {
    "approvers": {"role": "approver"},
    "required": 2,
    "exclude_requester": True,
    "expires_in": "24h",
    "on_expiry": "escalate",
    "escalate_to": "bosses",
}
POLICIES = {"four_eyes": FOUR_EYES, "bosses": BOSSES, "unused": {}}
MCP = {"type": "mcp", "url": "https://tickets.example.com/mcp", "filter": ["create", "close"]}


@pytest.fixture(autouse=True)
def _allowed(settings: Settings) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.agents.sample_tools"]


def with_tool(**changes: Any) -> dict[str, Any]:
    return document(tools={"lookup": {**LOOKUP, **changes}}, approval_policies=POLICIES)


def with_policy(**policy: Any) -> dict[str, Any]:
    return document(approval_policies={"mine": policy, **POLICIES})


@pytest.mark.parametrize(
    "required",
    [
        True,
        "four_eyes",
        {"when": "args.number > 100"},
        {"when": "task.metadata.env == 'production' && !args.dry_run", "policy": "bosses"},
        {"policy": "bosses"},
    ],
    ids=str,
)
def test_a_tool_may_need_approval(required: Any) -> None:
    spec = resolve(validate(with_tool(require_approval=required)), "assistant")
    assert AgentSpec.model_validate(spec.stored()) == spec


def test_a_version_pins_the_policies_that_it_can_come_to_and_no_others() -> None:
    spec = resolve(validate(with_tool(require_approval="four_eyes")), "assistant")
    assert list(spec.policies) == ["four_eyes", "bosses"]
    limits = {"requests": 5, "on_breach": "ask", "policy": "bosses"}
    agents = {"assistant": {"tools": ["lookup"], "limits": limits}}
    spec = resolve(validate(with_tool() | {"agents": agents}), "assistant")
    assert list(spec.policies) == ["bosses"]


@pytest.mark.parametrize(
    ("found", "place", "said"),
    [
        (with_tool(require_approval="six_eyes"), "/tools/lookup/require_approval", "There is no `six_eyes`"),
        (with_tool(require_approval={"policy": "x"}), "/tools/lookup/require_approval/policy", "There is no `x`"),
        (with_tool(require_approval={"when": "args.n >"}), "/tools/lookup/require_approval/when", "Syntax error"),
        (with_tool(require_approval={"when": "amount > 1"}), "/tools/lookup/require_approval/when", "'amount'"),
        (with_tool(require_approval={"when": "args.n + 1"}), "/tools/lookup/require_approval/when", "true or false"),
        (with_tool(require_approval={"when": "size(args)"}), "/tools/lookup/require_approval/when", "true or false"),
        (with_tool(require_approval={"if": "true"}), "/tools/lookup/require_approval/if", "not a key"),
        (with_tool(require_approval=["a"]), "/tools/lookup/require_approval", "Only the tools of an MCP server"),
        (with_tool(require_approval={"tools": ["a"]}), "/tools/lookup/require_approval/tools", "Only the tools"),
        (with_tool(on_reject="stop"), "/tools/lookup/on_reject", "'continue' or 'fail'"),
        (with_tool(risk="extreme"), "/tools/lookup/risk", "'low', 'medium' or 'high'"),
        (
            document(tools={"lookup": {**MCP, "require_approval": ["create", "open"]}}),
            "/tools/lookup/require_approval/1",
            "not in the `filter`",
        ),
        (with_policy(required=0), "/approval_policies/mine/required", "greater than"),
        (with_policy(approvers={"role": "viewer"}), "/approval_policies/mine/approvers/role", "'approver' or 'admin'"),
        (with_policy(approvers={"users": ["anna"]}, required=2), "/approval_policies/mine", "more than the people"),
        (with_policy(on_expiry="fail"), "/approval_policies/mine/on_expiry", "needs `expires_in`"),
        (with_policy(expires_in="1h", on_expiry="escalate"), "/approval_policies/mine", "need each other"),
        (with_policy(expires_in="1h", escalate_to="bosses"), "/approval_policies/mine", "need each other"),
        (with_policy(expires_in="1h", remind_after="2h"), "/approval_policies/mine", "shorter than"),
        (
            with_policy(expires_in="1h", on_expiry="escalate", escalate_to="nobody"),
            "/approval_policies/mine/escalate_to",
            "There is no `nobody`",
        ),
        (
            with_policy(expires_in="1h", on_expiry="escalate", escalate_to="mine"),
            "/approval_policies/mine/escalate_to",
            "leads back",
        ),
        (
            document(tools={"lookup": {"type": "ask_human", "require_approval": True}}),
            "/tools/lookup",
            "waits for people anyway",
        ),
        (
            document(tools={"lookup": {"type": "ask_human", "answer_schema": {"type": 5}}}),
            "/tools/lookup/answer_schema/type",
            "no JSON Schema",
        ),
        (
            document(
                tools={"lookup": {"type": "ask_human", "policy": "mine"}},
                approval_policies={"mine": {"expires_in": "1h", "on_expiry": "approve"}},
            ),
            "/tools/lookup/policy",
            "cannot be approved",
        ),
        (
            document(agents={"assistant": {"limits": {"requests": 5, "policy": "x", "on_breach": "ask"}}}),
            "/agents/assistant/limits/policy",
            "There is no `x`",
        ),
        (
            document(agents={"assistant": {"limits": {"policy": "x"}}}, approval_policies={"x": {}}),
            "/agents/assistant/limits/policy",
            "needs `on_breach: ask`",
        ),
    ],
)
def test_each_fault_is_named_where_it_is(found: dict[str, Any], place: str, said: str) -> None:
    [fault] = faults_of(found)
    assert fault.pointer == place and said in fault.detail, fault


@pytest.mark.parametrize(
    ("text", "arguments", "holds"),
    [
        ("args.amount > 100", {"amount": 150}, True),
        ("args.amount > 100", {"amount": 100.5}, True),
        ("args.amount > 100", {"amount": 5}, False),
        ("args.to.exists(one, one.endsWith('@example.com'))", {"to": ["a@b.org", "c@example.com"]}, True),
        ("has(args.force) && args.force", {}, False),
        ("args.path.matches('^/etc/')", {"path": "/etc/passwd"}, True),
    ],
)
def test_a_condition_holds_or_does_not(text: str, arguments: dict[str, Any], holds: bool) -> None:
    conditions.check(text)
    assert conditions.holds(text, {"args": arguments, "task": {}, "tool": "t", "agent": "a"}) is holds


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("args.amount > 100", {}),
        ("args.amount > 100", {"amount": "150"}),
        ("args.amount > 100", {"amount": 2**70}),
        ("args.amount > 100", {"amount": 1, "more": "x" * conditions.MOST_DATA}),
        ("args.flag", {"flag": "yes"}),
        ("args.list.all(x, args.list.all(y, x + y >= 0))", {"list": list(range(1000))}),
    ],
    ids=["missing", "text", "too large a number", "too much data", "not true or false", "too many steps"],
)
def test_a_condition_that_cannot_be_evaluated_says_so(text: str, arguments: dict[str, Any]) -> None:
    conditions.check(text)
    with pytest.raises(ConditionFailed):
        conditions.holds(text, {"args": arguments, "task": {}, "tool": "t", "agent": "a"})


def test_a_condition_of_any_length_is_refused() -> None:
    with pytest.raises(conditions.ConditionInvalid, match="1000 characters"):
        conditions.check("true || " * 200 + "true")
