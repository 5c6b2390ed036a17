"""What can be wrong with the templates and limits of entry points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.agents.config.faults import Fault
from apps.agents.config.parts import entries, names, triggers, unknown
from apps.triggers.starters import webhook
from apps.triggers.starters.base import VARIABLES, trigger_types
from hector_site.problems import pointer

AT_THE_LIMIT = ("on_limit", "count_waiting")


def limit_faults(data: dict[str, Any]) -> Iterator[Fault]:
    """What is said of a limit has one to be said of."""
    for name, entry in entries(data, "entry_points").items():
        for key in AT_THE_LIMIT:
            if key in entry and entry.get("max_concurrent") is None:
                yield Fault(pointer("entry_points", name, key), "It is about `max_concurrent`, which is not given.")


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


def webhook_faults(data: dict[str, Any]) -> Iterator[Fault]:
    """No two webhooks take the same requests."""
    seen: list[tuple[str, dict[str, Any]]] = []
    for place, name, trigger in triggers(data):
        if trigger.get("type") != "webhook":
            continue
        for other, said in seen:
            if webhook.overlaps(trigger, said):
                yield Fault(pointer(*place, "path"), f"`{other}` takes requests of this path and method already.")
        seen.append((name, trigger))


def event_faults(data: dict[str, Any]) -> Iterator[Fault]:
    """What events are narrowed to exists."""
    known = {"filter_agent": names(data, "agents"), "filter_entry_point": [name for _, name, _ in triggers(data)]}
    sections = {"filter_agent": "agents", "filter_entry_point": "entry_points"}
    for place, _, trigger in triggers(data):
        for key, there in known.items() if trigger.get("type") == "event" else ():
            wanted = trigger.get(key)
            for name in wanted if isinstance(wanted, list) else [wanted]:
                if isinstance(name, str) and name not in there:
                    yield unknown(pointer(*place, key), name, sections[key], there)
