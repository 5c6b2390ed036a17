"""Entry points for tests: a document that has them, and what became of them."""

from __future__ import annotations

from typing import Any

from apps.agents.config.apply import apply
from apps.agents.config.schema import EntryPointConfig
from apps.tasks.models import Event
from apps.tenancy.models import App
from apps.triggers.models import EntryPoint
from tests.support.agents import document, function

_TYPED = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
AGENTS = {"echo": function("echo"), "typed": function("echo", input_schema=_TYPED)}


def entry(agent: str = "echo", type: str = "api", **options: Any) -> dict[str, Any]:
    """Keys that only triggers have may stand beside the others."""
    beside = {key: value for key, value in options.items() if key in EntryPointConfig.model_fields}
    return {
        "agent": agent,
        "trigger": {"type": type, **{k: v for k, v in options.items() if k not in beside}},
        **beside,
    }


def put(app: App, **entries: Any) -> None:
    """Applies a document with the agents above and these entry points."""
    apply(app, document(AGENTS) | {"entry_points": entries}, by="tests")


def named(name: str) -> EntryPoint:
    return EntryPoint.objects.get(name=name)


def events(*types: str) -> list[dict[str, Any]]:
    """The payloads of the events of these types, the oldest first."""
    return list(Event.objects.filter(type__in=types).order_by("pk").values_list("payload", flat=True))
