"""Budgets of the App, and of the token that gave the task: looked at before each request to a model.

What others have spent counts, too, so the database is asked each time; an App without budgets is asked for its limits
once in a second. Requests that are under way when a budget is used up are paid for all the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from apps.agents import policies
from apps.agents.config.spec import AgentSpec
from apps.agents.errors import PermanentError
from apps.approvals import lifecycle as approvals
from apps.approvals.choices import OF_BUDGET
from apps.approvals.lifecycle import Call
from apps.approvals.models import Approval
from apps.queue.handler import Job
from apps.quotas import counting, rules
from apps.quotas.counting import Standing
from apps.quotas.rules import FAIL, WAIT, amount
from apps.tasks import journal
from apps.tasks.journal import Run, Settlement
from apps.tasks.models import Task
from apps.tenancy.context import in_app
from apps.tenancy.models import App


class BudgetUsedUp(PermanentError):
    """A budget of the App, or of the token, is used up in the present window."""

    def __init__(self, standing: Standing) -> None:
        rule = standing.rule
        super().__init__("budget_used_up", f"{rule.whose} has used up its budget of {rule.what(standing.allowed)}")
        self.standing = standing


async def look(job: Job, task: Task) -> None:
    """Raises BudgetUsedUp."""
    known = rules.known(job.app, task.created_by)
    if known is not None and not any(map(counting.is_budget, known)):
        return
    used_up = await job.database.call(_used_up, job.app, task.created_by)
    if used_up:
        raise BudgetUsedUp(_first(used_up))


def _used_up(app: App, caller: str) -> list[Standing]:
    """(Database thread.)"""
    with in_app(app):
        return counting.used_up(rules.current(app, caller))


def _first(used_up: Sequence[Standing]) -> Standing:
    """The one that decides: one that fails, else the one that makes wait the longest, else one that asks."""
    order = {FAIL: 2, WAIT: 1}
    return max(used_up, key=lambda standing: (order.get(standing.rule.on_breach, 0), standing.ends_in))


def settle(app: App, run: Run, spec: AgentSpec, reached: BudgetUsedUp) -> Settlement | None:
    """How the run ends; None: it fails."""
    match reached.standing.rule.on_breach:
        case rules.WAIT:
            return journal.put_off(run, reached.message, reached.standing.ends_in)
        case rules.ASK:
            return approvals.ask(app, run, [_question(spec, reached.standing)])
    return None


def _question(spec: AgentSpec, standing: Standing) -> Call:
    """Raised by the budget itself, as often as it takes to go on: whoever asks in one window asks for the same."""
    rule = standing.rule
    steps = max(1, math.ceil((standing.used + 1 - standing.allowed) / rule.limit))
    raised = standing.allowed + steps * rule.limit
    numbers = {"value": standing.allowed, "used": standing.used, "raise_by": steps * rule.limit, "raise_to": raised}
    about: dict[str, Any] = {name: amount(rule.resource, units) for name, units in numbers.items()}
    about |= {"limit": rule.resource.value, "of": rule.kind.value, "name": rule.name}
    about |= {"window": rule.seconds, "start": standing.start}
    prompt = (
        f"{_capital(rule.whose)} has used up its budget of {rule.what(standing.allowed)}."
        f" Approving raises it to {rule.what(raised)} for all of its tasks, in this window, which ends at"
        f" {standing.ends_at:%Y-%m-%d %H:%M} UTC. Rejecting ends this task as failed."
    )
    policy = policies.resolve(spec.limits.policy, spec.policies)
    return Call(Approval.Kind.BUDGET, f"{OF_BUDGET}{rule.resource}", "", about, prompt, policy)


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
