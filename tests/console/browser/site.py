"""The installation that browsers visit: the App `default`, and the App `bank`, where people are asked."""

from __future__ import annotations

from typing import Any

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

SETUP = """
from apps.accounts.models import User
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
