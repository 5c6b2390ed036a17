"""A limit that a task has reached, in words: what it is, and what raising it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from apps.approvals.models import Approval
from apps.console import words


@dataclass(frozen=True)
class Limit:
    """Amounts of it. Only the name of it, where the numbers may not be seen."""

    now: str
    used: str = ""
    more: str = ""
    raised: str = ""


def of(approval: Approval) -> Limit:
    name = approval.call.partition(":")[2]
    about: dict[str, Any] = approval.arguments
    value, used, more = (about.get(key) for key in ("value", "used", "raise_by"))
    if not isinstance(value, int | float) or not isinstance(more, int | float):
        return Limit(name.replace("_", " "))
    reached = _amount(name, used) if isinstance(used, int | float) else ""
    return Limit(_amount(name, value), reached, _amount(name, more), _amount(name, value + more))


def _amount(name: str, value: float) -> str:
    match name:
        case "cost_usd":
            return words.money(value)
        case "wall_clock":
            return f"{words.duration(value)} of running"
    return f"{value:,.10g} {name.replace('_', ' ')}"
