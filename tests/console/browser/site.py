"""The installation that browsers visit: the Apps `default`, `bank`, where people are asked, and `desk`, where a worker
carries out what they decide.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.support.starter import ROOT

DOCUMENT = {
    "version": "2",
    "llms": {
        "steps": {
            "provider": "scripted",
            "script": [
                {"delay": "500ms", "calls": [{"tool": "lookup_order", "arguments": {"number": "A-1042"}}]},
                {"delay": "500ms", "text": "It arrives on Thursday."},
            ],
        },
        "slow": {"provider": "scripted", "script": [{"delay": "90s", "text": "done"}]},
        "broken": {"provider": "scripted", "script": [{"error": {"status": 401}}]},
    },
    "tools": {"lookup_order": {"type": "function", "handler": "hector_demo.shop.lookup_order", "idempotent": True}},
    "agents": {
        "clerk": {"llm": "steps", "tools": ["lookup_order"], "description": "Looks orders up"},
        "slow": {"llm": "slow", "description": "Takes its time"},
        "broken": {"llm": "broken", "description": "Has a wrong key"},
        "report": {
            "type": "function",
            "handler": "hector_demo.text.count_words",
            "input_schema": {
                "type": "object",
                "required": ["text"],
                "properties": {"text": {"type": "string"}, "style": {"enum": ["short", "long"]}},
            },
        },
    },
}


def _agent(*turns: dict[str, Any], tools: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Its model, which ends with "All done.", and the agent."""
    return {"provider": "scripted", "script": [*turns, {"text": "All done."}]}, {"type": "llm", "tools": list(tools)}


def _calls(**calls: dict[str, Any]) -> dict[str, Any]:
    return {"calls": [{"tool": tool, "arguments": arguments} for tool, arguments in calls.items()]}


def _asking(policy: dict[str, Any] | bool) -> dict[str, Any]:
    return {"type": "function", "handler": "hector_demo.shop.lookup_order", "require_approval": policy}


_ONE = _calls(look_up={"number": "A-1042"})
_AGENTS = {
    "turn": _agent(
        _calls(
            look_up={"number": "A-1042"}, in_time={"number": "A-1043"}, say={"text": "Hello"}, add={"a": 1, "b": 2},
            ask={"question": "Which colour?"},
        ),
        tools=("look_up", "in_time", "say", "server", "ask"),
    ),
    "one": _agent(_ONE, tools=("look_up",)),
    "two": _agent(_ONE, _calls(look_up={"number": "A-1043"}), tools=("look_up",)),
    "hurried": _agent(_calls(hurried={"number": "A-1042"}), tools=("hurried",)),
    "escalated": _agent(_calls(escalated={"number": "A-1042"}), tools=("escalated",)),
    "four_eyes": _agent(_calls(four_eyes={"number": "A-1042"}), tools=("four_eyes",)),
    "quorum": _agent(_calls(quorum={"number": "A-1042"}), tools=("quorum",)),
}  # fmt: skip
DESK = {
    "version": "2",
    "llms": {name: llm for name, (llm, _) in _AGENTS.items()},
    "agents": {name: agent | {"llm": name} for name, (_, agent) in _AGENTS.items()},
    "tools": {
        "look_up": _asking(True),
        "in_time": _asking({"policy": "in_time"}),
        "hurried": _asking({"policy": "hurried"}),
        "escalated": _asking({"policy": "escalated"}),
        "four_eyes": _asking({"policy": "four_eyes"}),
        "quorum": _asking({"policy": "quorum"}),
        "say": {
            "type": "command", "command": ["echo", "{text}"], "parameters": {"text": {"type": "string"}},
            "require_approval": True,
        },
        "server": {
            "type": "mcp", "command": sys.executable, "args": ["-m", "tests.support.mcp_server"],
            "env": {"PYTHONPATH": str(ROOT)}, "filter": ["add"], "require_approval": ["add"],
        },
        "ask": {
            "type": "ask_human",
            "answer_schema": {
                "type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"],
            },
        },
    },
    "approval_policies": {
        "in_time": {"expires_in": "1h", "on_expiry": "reject"},
        "hurried": {"expires_in": "4s", "on_expiry": "reject"},
        "escalated": {
            "expires_in": "4s", "on_expiry": "escalate", "escalate_to": {"approvers": {"role": "admin"}},
        },
        "four_eyes": {"exclude_requester": True},
        "quorum": {"required": 2},
    },
}  # fmt: skip

SETUP = """
from apps.accounts.models import User
from apps.agents.config.apply import apply
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from apps.tenancy.models import Membership
from tests.console.browser import site

User.objects.create_superuser("olga", password=site.PASSWORD)
lifecycle.create("acme", by="tests", display_name="Acme Corporation")
bank = lifecycle.create("bank", by="tests", display_name="The Bank")
for name in ("anna", "otto"):
    user = User.objects.create_user(name, password=site.PASSWORD)
    Membership.objects.create(user=user, app=bank, role="approver")
with in_app(bank):
    site.ask(bank)
desk = lifecycle.create("desk", by="tests", display_name="The Desk")
for name, role in (("dora", "approver"), ("dirk", "approver"), ("ada", "admin")):
    user = User.objects.create_user(name, password=site.PASSWORD)
    Membership.objects.create(user=user, app=desk, role=role)
apply(desk, site.DESK, by="tests")
"""
PASSWORD = "a good password"


def ask(bank: Any) -> None:
    """What waits for people in the App `bank`, before there is a worker: each test decides about its own."""
    from apps.agents.config.apply import apply
    from tests.console.approvals import asked, call, policy, question
    from tests.support import agents

    apply(bank, agents.document({"clerk": {"type": "function", "handler": "hector_demo.text.count_words"}}), by="tests")
    four_eyes = policy("four_eyes", required=2, exclude_requester=True, expires_in="2h")
    for name in ("approve", "edit", "reject", "watch", "select", "select", "look_at"):
        asked(bank, call(tool=f"{name}_me", risk="high"), agent="clerk", value={"text": name})
    asked(bank, call(tool="four_eyes_me", policy=four_eyes), agent="clerk", value={"text": "Pay Ada"})
    asked(bank, question(), agent="clerk", value={"text": "Pay her"})
