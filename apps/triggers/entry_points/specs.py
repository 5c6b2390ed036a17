"""What the document says of an entry point, read again from where it is stored."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from apps.agents.config.schema import EntryPointConfig
from apps.agents.registry import STORED
from apps.triggers.models import EntryPoint
from apps.triggers.starters.base import trigger_types

MOST = 10_000
_read: dict[UUID, tuple[dict[str, Any], EntryPointConfig]] = {}  # what was stored when it was read, and what that says


def spec_of(entry_point: EntryPoint) -> EntryPointConfig:
    """It was checked when it was written: keys of another version of Hector are passed over."""
    stored, spec = _read.get(entry_point.pk, ({}, None))
    if spec is None or stored != entry_point.spec:
        if len(_read) >= MOST:
            _read.clear()
        spec = _parsed(entry_point)
        _read[entry_point.pk] = (entry_point.spec, spec)
    return spec


def _parsed(entry_point: EntryPoint) -> EntryPointConfig:
    stored = entry_point.spec
    trigger = trigger_types[entry_point.type].spec.model_validate(stored["trigger"], extra="ignore", context=STORED)
    return EntryPointConfig.model_validate({**stored, "trigger": trigger}, extra="ignore")
