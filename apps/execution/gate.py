"""Which calls wait for people: what the agent's version says of a tool (`require_approval`), asked of one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.agents import conditions, policies
from apps.agents.config.spec import AgentSpec
from apps.agents.policies import Policy
from apps.agents.registry import ToolSpec
from apps.agents.tools.ask_human import AskHumanSpec


@dataclass(frozen=True)
class Asking:
    """That people have to decide about a call, by which policy, and what they should know of the reason."""

    policy: Policy
    reason: str = ""


@dataclass(frozen=True)
class Gate:
    """One entry of `tools`. Of what it says for the people who decide, `spec` has the rest."""

    spec: ToolSpec
    policy: Policy

    def asks(self, tool: str, facts: Mapping[str, Any]) -> Asking | None:
        """Whether a call of the tool waits for people. `facts` are the variables of conditions.

        A condition that cannot be evaluated counts as true.
        """
        if isinstance(self.spec, AskHumanSpec):
            return Asking(self.policy)
        requirement = self.spec.requirement()
        if requirement is None or (requirement.tools and tool not in requirement.tools):
            return None
        try:
            asks = not requirement.when or conditions.holds(requirement.when, facts)
        except conditions.ConditionFailed as error:
            return Asking(self.policy, f"Whether `{requirement.when}` holds cannot be said: {error}.")
        return Asking(self.policy, f"`{requirement.when}` holds." if requirement.when else "") if asks else None


def gates(spec: AgentSpec) -> dict[str, Gate]:
    """Those of the agent's tools, by their names in the document."""
    return {name: Gate(tool, policies.resolve(_policy(tool), spec.policies)) for name, tool in spec.tools.items()}


def _policy(tool: ToolSpec) -> str:
    return next(iter(tool.policies()), "")
