"""What can be wrong with who has to agree to what: policies that are not there or go round, conditions and names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.agents import conditions
from apps.agents.config.faults import Fault
from apps.agents.config.parts import entries, names, unknown
from hector_site.problems import pointer

Path = tuple[str | int, ...]


def approvals(data: dict[str, Any]) -> Iterator[Fault]:
    yield from _policies(data)
    yield from _tools(data)
    for name, agent in entries(data, "agents").items():
        limits = agent.get("limits")
        if isinstance(limits, dict) and "policy" in limits:
            place = ("agents", name, "limits", "policy")
            yield from _named(data, limits["policy"], place)
            if limits.get("on_breach") != "ask":
                yield Fault(pointer(*place), "The policy of a limit needs `on_breach: ask`.")


def _named(data: dict[str, Any], policy: Any, place: Path) -> Iterator[Fault]:
    known = names(data, "approval_policies")
    if isinstance(policy, str) and policy and policy not in known:
        yield unknown(pointer(*place), policy, "approval_policies", known)


def _policies(data: dict[str, Any]) -> Iterator[Fault]:
    """Every policy that is escalated to exists, and no escalation leads back to where it began."""
    for name, policy in entries(data, "approval_policies").items():
        for place, inner in _inside(policy, ("approval_policies", name)):
            if "on_expiry" in inner and "expires_in" not in inner:
                yield Fault(pointer(*place, "on_expiry"), "This needs `expires_in`: without it nothing expires.")
            yield from _named(data, inner.get("escalate_to"), (*place, "escalate_to"))
        if name in _reached(data, policy, set()):
            yield Fault(pointer("approval_policies", name, "escalate_to"), "The escalation leads back to this policy.")


def _inside(policy: Any, place: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A policy and those that are written out in it."""
    while isinstance(policy, dict):
        yield place, policy
        policy, place = policy.get("escalate_to"), (*place, "escalate_to")


def _reached(data: dict[str, Any], policy: Any, seen: set[str]) -> set[str]:
    """The names of the policies that a policy escalates to, however far."""
    for _, inner in _inside(policy, ()):
        following = inner.get("escalate_to")
        if isinstance(following, str) and following not in seen:
            seen.add(following)
            _reached(data, entries(data, "approval_policies").get(following), seen)
    return seen


def _tools(data: dict[str, Any]) -> Iterator[Fault]:
    for name, tool in entries(data, "tools").items():
        if tool.get("type") == "ask_human":
            yield from _question(data, tool.get("policy"), ("tools", name, "policy"))
            continue
        place: Path = ("tools", name, "require_approval")
        match tool.get("require_approval"):
            case str(policy):
                yield from _named(data, policy, place)
            case list(listed):
                yield from _listed(tool, listed, place)
            case dict(requirement):
                yield from _named(data, requirement.get("policy"), (*place, "policy"))
                yield from _condition(requirement.get("when"), (*place, "when"))
                yield from _listed(tool, requirement.get("tools"), (*place, "tools"))


def _question(data: dict[str, Any], policy: Any, place: Path) -> Iterator[Fault]:
    """A question has an answer or none: it cannot be approved by time."""
    yield from _named(data, policy, place)
    if isinstance(policy, str):
        known = entries(data, "approval_policies")
        reached = {policy} | _reached(data, known.get(policy), set())
        outcomes = [inner.get("on_expiry") for name in reached for _, inner in _inside(known.get(name), ())]
        if "approve" in outcomes:
            yield Fault(pointer(*place), "A question cannot be approved: its policy has to expire otherwise.")


def _condition(when: Any, place: Path) -> Iterator[Fault]:
    if isinstance(when, str) and when:
        try:
            conditions.check(when)
        except conditions.ConditionInvalid as error:
            yield Fault(pointer(*place), str(error))


def _listed(tool: dict[str, Any], listed: Any, place: Path) -> Iterator[Fault]:
    """Tools by name are those of an MCP server, and are among those that it offers here."""
    if not isinstance(listed, list) or not listed:
        return
    if tool.get("type") != "mcp":
        yield Fault(
            pointer(*place), "Only the tools of an MCP server have names of their own; write `true` or a policy."
        )
    offered = tool.get("filter")
    for index, name in enumerate(listed):
        if isinstance(offered, list) and name not in offered:
            yield Fault(pointer(*place, index), f"`{name}` is not in the `filter` of this server's tools.")
