"""`type: event`: work that starts when something happens in the App (`apps.triggers.reactions`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from apps.agents.registry import STORED, TriggerSpec
from apps.tasks import outbox
from apps.tasks.events import NAMED, EventType, is_type
from apps.tenancy.models import App
from apps.triggers.models import EntryPoint
from apps.triggers.starters import base
from apps.triggers.starters.base import TriggerType

NAME = "event"
SUBSCRIBER = "entry_points"  # of the outbox


def _is_type(text: str, info: ValidationInfo) -> str:
    if not is_type(text) and info.context != STORED:  # a stored one may be of a version that knew it
        raise ValueError(f"there is no event `{text}`; there is custom.NAME, and {', '.join(EventType.values)}")
    return text


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Several = Annotated[list[str], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class EventSpec(TriggerSpec):
    """Something that happens in the App starts it."""

    type: Literal["event"]
    """An event of the App."""
    event_types: Annotated[
        list[Annotated[str, AfterValidator(_is_type)]],
        Field(min_length=1),
        BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    ]
    """Which: types of events; `custom.NAME` for what programs say under a name of their own."""
    filter_entry_point: Several = []
    """Only of tasks of these entry points; left out, of all, and of no task."""
    filter_agent: Several = []
    """Only of tasks of these agents."""
    filter_node: Several = []
    """Only of these nodes of a graph."""
    exclude_own: bool = True
    """Whether what its own tasks do starts it no more."""


class EventTrigger(TriggerType):
    name, spec = NAME, EventSpec
    variables = frozenset({"event", "task"})

    def appeared(self, app: App, entry_point: EntryPoint) -> None:
        _subscribe()

    def changed(self, app: App, entry_point: EntryPoint, was: Mapping[str, Any]) -> None:
        _subscribe()

    def paused(self, app: App, entry_point: EntryPoint) -> None:
        _subscribe()

    def resumed(self, app: App, entry_point: EntryPoint) -> None:
        _subscribe()

    def removed(self, app: App, entry_point: EntryPoint) -> None:
        _subscribe(without=entry_point)


def _subscribe(without: EntryPoint | None = None) -> None:
    """Wants of the outbox what those that are active wait for."""
    active = EntryPoint.objects.filter(type=NAME, removed_at=None, paused_at=None)
    wanted = {
        EventType.CUSTOM.value if event.startswith(NAMED) else event
        for entry_point in (active if without is None else active.exclude(pk=without.pk))
        for event in entry_point.spec["trigger"]["event_types"]
    }
    outbox.subscribe(SUBSCRIBER, wanted)


def register() -> None:
    base.register(EventTrigger())
