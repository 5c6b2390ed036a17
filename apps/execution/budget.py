"""What a run may still use: the agent's limits, and what people have raised them by.

All is looked at where nothing is under way: before a request to the model, and before the calls that it asks for. What
was used to get there is recorded by then, so a run that goes on later begins where this one has stopped.
"""

from __future__ import annotations

import math
import time
from typing import Any

from apps.agents import policies
from apps.agents.config.spec import AgentSpec
from apps.agents.errors import PermanentError
from apps.approvals.lifecycle import Call
from apps.approvals.models import Approval
from apps.execution.journal import RunJournal


class LimitReached(PermanentError):
    """The run has used up, or is about to exceed, one of its limits."""

    def __init__(self, name: str, value: float, question: Call | None) -> None:
        """`question` is what people are asked; None: the task fails."""
        super().__init__("limit_reached", f"the run reached its limit of {value:g} {name}")
        self.question = question


class Budget:
    def __init__(self, spec: AgentSpec, journal: RunJournal, ran_seconds: float) -> None:
        self._spec = spec
        self._journal = journal
        self._began = time.monotonic() - ran_seconds
        self._asks = spec.limits.on_breach == "ask"

    def before_request(self) -> None:
        """Raises LimitReached."""
        self._check("requests", self._journal.used().requests + 1)
        self._check_used()
        if self._asks:  # else the clock stops the run, whatever it is doing (`apps.execution.run`)
            self._check("wall_clock", time.monotonic() - self._began)

    def before_calls(self) -> None:
        """After the model's answer is recorded. Raises LimitReached."""
        self._check_used()
        self._check("tool_calls", self._journal.used().tool_calls + self._journal.calls_to_make())

    def _check_used(self) -> None:
        used = self._journal.used()
        self._check("tokens", used.total_tokens)
        self._check("cost_usd", float(used.cost or 0))

    def _check(self, name: str, used: float) -> None:
        limit: float | None = getattr(self._spec.limits, name)
        if limit is None:
            return
        value = limit + self._journal.raised(name)
        if used > value:
            raise LimitReached(name, value, self._question(name, value, used, limit) if self._asks else None)

    def _question(self, name: str, value: float, used: float, limit: float) -> Call:
        """Raised by the agent's own limit, as often as it takes to go on."""
        more = limit * max(1, math.ceil((used - value) / limit))
        about: dict[str, Any] = {"limit": name, "value": value, "used": round(used, 6), "raise_by": more}
        prompt = (
            f"The task has reached its limit of {value:g} {name}: it needs {used:g} to go on."
            f" Approving raises the limit by {more:g}, to {value + more:g}. Rejecting ends the task as failed."
        )
        policy = policies.resolve(self._spec.limits.policy, self._spec.policies)
        return Call(Approval.Kind.BUDGET, f"limit:{name}", "", about, prompt, policy)
