"""Which events somebody wants to see: the filters of the API's list, of its stream and of the console.

A type is one of `EventType`, or `custom.NAME` for the custom events of that name. Where the filter is not a task's, the
newest 20,000 events are looked at, so its cost has a bound however many there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet

from apps.tasks.events import NAMED, EventType
from apps.tasks.models import Event

REACH = 20_000


@dataclass(frozen=True)
class EventFilter:
    """All that is set must hold. `types` holds if the event has one of them."""

    types: Sequence[str] = ()
    task: UUID | None = None
    agent: str = ""
    entry_point: str = ""

    def matching(self) -> QuerySet[Event]:
        """All of the App's events that fit, in no order yet, each with its task."""
        found = Event.objects.select_related("task").only(
            "type", "seq", "payload", "actor", "at", "task__agent", "task__entry_point"
        )
        if self.types:
            found = found.filter(self._of_types())
        conditions = {"task": self.task, "task__agent": self.agent, "task__entry_point": self.entry_point}
        return found.filter(**{field: value for field, value in conditions.items() if value})

    def listed(self) -> QuerySet[Event]:
        """The same, as far as a list goes back."""
        found = self.matching()
        if self.task is not None or not (self.types or self.agent or self.entry_point):
            return found
        oldest = Event.objects.order_by("-pk").values_list("pk", flat=True)[REACH : REACH + 1].first()
        return found if oldest is None else found.filter(pk__gt=oldest)

    def _of_types(self) -> Q:
        names = [type.removeprefix(NAMED) for type in self.types if type.startswith(NAMED)]
        wanted = Q(type__in=[type for type in self.types if not type.startswith(NAMED)])
        return wanted | Q(type=EventType.CUSTOM, payload__name__in=names) if names else wanted
