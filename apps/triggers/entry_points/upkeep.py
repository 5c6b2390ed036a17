"""What prunes entry points: their firings, as long as tasks are kept, and what the document named as long ago."""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.queue import sql
from apps.tasks.retention import Condition, Kind, Policy
from apps.triggers.models import EntryPoint, Firing


def prunable(policy: Policy, now: datetime) -> dict[Kind, Condition]:
    """(`firing_at` serves the choice.)"""
    if not policy.tasks:
        return {}
    old = sql.dt(now - timedelta(seconds=policy.tasks))
    return {Firing: ("at <= %s", [old]), EntryPoint: ("removed_at <= %s", [old])}
