"""What the document says of an entry point, read again from where it is stored."""

from __future__ import annotations

from apps.agents.config.schema import EntryPointConfig
from apps.agents.registry import STORED
from apps.triggers.models import EntryPoint
from apps.triggers.starters.base import trigger_types


def spec_of(entry_point: EntryPoint) -> EntryPointConfig:
    """It was checked when it was written: keys of another version of Hector are passed over."""
    stored = entry_point.spec
    trigger = trigger_types[entry_point.type].spec.model_validate(stored["trigger"], extra="ignore", context=STORED)
    return EntryPointConfig.model_validate({**stored, "trigger": trigger}, extra="ignore")
