"""What rules read of a document's plain data, passing over what has the wrong shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.agents.config.faults import Fault

Path = tuple[str | int, ...]


def entries(data: dict[str, Any], section: str) -> dict[str, dict[str, Any]]:
    """The entries of a section that have the shape of one."""
    found = data.get(section)
    return {name: entry for name, entry in found.items() if isinstance(entry, dict)} if isinstance(found, dict) else {}


def names(data: dict[str, Any], section: str) -> list[str]:
    found = data.get(section)
    return list(found) if isinstance(found, dict) else []


def unknown(place: str, name: str, section: str, known: list[str]) -> Fault:
    return Fault(place, f"There is no `{name}` in `{section}`; there is {', '.join(known) or 'nothing'}.")


def triggers(data: dict[str, Any]) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Every trigger that has the shape of one: its place, its entry point's name, and what it says."""
    for section in ("entry_points", "agents"):
        for name, entry in entries(data, section).items():
            if isinstance(trigger := entry.get("trigger"), dict):
                yield (section, name, "trigger"), name, trigger
