"""What tests of the inbox ask people about, and how they read its pages."""

from __future__ import annotations

import html
import re
from typing import Any

from django.test import Client

from apps.agents.policies import ApprovalPolicy, Policy, resolve
from apps.approvals.lifecycle import Call
from apps.approvals.models import Approval
from apps.tasks.models import Task
from apps.tenancy.models import App
from tests.support import doubt

Kind = Approval.Kind
SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "integer", "maximum": 100}, "note": {"type": "string"}},
    "required": ["amount"],
    "additionalProperties": False,
}
ANSWER = {"type": "object", "required": ["who"], "properties": {"who": {"enum": ["Ada", "Grace"]}}}


def policy(name: str = "", **values: Any) -> Policy:
    return (
        resolve(name, {name: ApprovalPolicy.model_validate(values)}) if name else resolve(ApprovalPolicy(**values), {})
    )


def call(
    kind: Kind = Kind.TOOL_CALL, key: str = "tool:1:a", tool: str = "charge", arguments: Any = None, **options: Any
) -> Call:
    return Call(kind, key, tool, {"amount": 5} if arguments is None else arguments, **{"schema": SCHEMA, **options})


def question(**options: Any) -> Call:
    return call(Kind.QUESTION, prompt="Whom shall I pay?", **{"schema": ANSWER, **options})


def limit() -> Call:
    return Call(Kind.BUDGET, "limit:requests", "", {"limit": "requests", "value": 50, "raise_by": 50})


def asked(app: App, *calls: Call, agent: str = "echo", value: Any = "Pay Ada") -> Approval:
    """The first approval of a task that waits for decisions about these calls."""
    task = doubt.asked(app, *(calls or (call(),)), agent=agent, value=value)
    return open_ones(task)[0]


def open_ones(task: Task) -> list[Approval]:
    return list(Approval.objects.select_related("task").filter(task=task, status="open").order_by("id"))


def fresh(approval: Approval) -> Approval:
    return Approval.objects.select_related("task").get(pk=approval.pk)


def path(approval: Approval) -> str:
    return f"/approvals/{approval.pk}/"


def text(page: str) -> str:
    """What one reads there."""
    page = re.sub(r'<span class="material-symbols[^>]*>[^<]*</span>', "", page)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def read(browser: Client, address: str) -> str:
    answer = browser.get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return answer.content.decode()


def decide(browser: Client, approval: Approval, decision: str, **fields: Any) -> Any:
    return browser.post(path(approval), {"app": "acme", "decision": decision, **fields})


def says(answer: Any) -> str:
    return text(answer.content.decode())
