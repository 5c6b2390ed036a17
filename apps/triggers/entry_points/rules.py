"""What can be wrong with the templates of entry points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.agents.config.faults import Fault
from apps.agents.config.parts import entries
from apps.triggers.starters.base import VARIABLES, trigger_types
from hector_site.problems import pointer


def template_faults(data: dict[str, Any]) -> Iterator[Fault]:
    """Every template can be read, and asks for nothing that its type of trigger never brings."""
    from apps.triggers.entry_points import templates  # takes a twentieth of a second to import

    for name, entry in entries(data, "entry_points").items():
        trigger = entry.get("trigger")
        kind = trigger_types.get(str(trigger.get("type"))) if isinstance(trigger, dict) else None
        if kind is None:
            continue
        for key in ("input", "session"):
            for path, detail in templates.problems(entry.get(key), VARIABLES | kind.variables):
                yield Fault(pointer("entry_points", name, key, *path), detail)
