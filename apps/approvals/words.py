"""A policy in one sentence, the same in the API, the console and on the command line."""

from __future__ import annotations

from apps.agents.policies import Policy

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six")
_EXPIRY = {
    "reject": "it counts as rejected",
    "approve": "it counts as approved",
    "fail": "the task fails",
}
_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def explain(policy: Policy, *, requester: str = "") -> str:
    """Who decides, how many, and until when.

    *Confirm* is a decision that the person who asked for the task may make as well, *four eyes* one that another person
    must make.
    """
    return " ".join([f"{_rule(policy)}: {_who(policy)}{_excluded(policy, requester)}.", *_deadline(policy)])


def _rule(policy: Policy) -> str:
    return "Four eyes" if policy.exclude_requester else "Confirm"


def _who(policy: Policy) -> str:
    role = f"with the role {policy.approvers.role}" if policy.approvers.role else ""
    named = " or ".join(policy.approvers.users)
    people = " or ".join(part for part in (role, named) if part)
    if policy.required == 1:
        return f"somebody {people} has to agree" if role else f"{people} has to agree"
    several = _NUMBERS[policy.required] if policy.required < len(_NUMBERS) else str(policy.required)
    return f"{several} different people ({people}) have to agree"


def _excluded(policy: Policy, requester: str) -> str:
    whom = f"{requester}, who asked for the task" if requester else "whoever asked for the task"
    if policy.exclude_requester:
        return f", and not {whom}"
    return f"; {whom}, may do so too" if requester else f"; {whom} may do so too"


def _deadline(policy: Policy) -> list[str]:
    if policy.expires_in is None:
        return []
    if policy.escalate_to is not None:
        following = explain(policy.escalate_to)
        return [f"If that has not happened within {duration(policy.expires_in)}, others are asked. {following}"]
    return [f"If that has not happened within {duration(policy.expires_in)}, {_EXPIRY[policy.on_expiry]}."]


def duration(seconds: float) -> str:
    """Seconds for people: `2 hours`, `90 minutes`; the largest unit that says it exactly."""
    for size, unit in _UNITS:
        if seconds >= size and seconds % size == 0:
            count = int(seconds // size)
            return f"{count} {unit}" + ("s" if count != 1 else "")
    return f"{seconds:g} seconds"
