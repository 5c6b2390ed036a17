"""Entry points that start when something happens: each event starts each of them once, in order.

Events come from the outbox (`apps.tasks.outbox`), and what they start is written in the transaction that takes them out
of it. So a crash between an event and a reaction loses none and makes none twice; the key of the firing is the event,
should anything else ever hand it over again.

A task knows how long the chain of reactions is that it stands at the end of (`Task.chain`). A chain ends after
`HECTOR_EVENT_CHAIN_DEPTH` of them, and an entry point that has reacted `HECTOR_EVENT_CHAIN_RATE` times in a minute
reacts to no more tasks that are reactions themselves. What is cut off is written down: a firing that was skipped, and
an event.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DataError
from django.db.models.functions import Now

from apps.queue.faults import Point, reach
from apps.tasks.events import NAMED, EventType
from apps.tasks.models import Event, Task
from apps.tenancy.models import App
from apps.triggers.entry_points.firing import Start, fire_many
from apps.triggers.entry_points.specs import spec_of
from apps.triggers.messages import Happening
from apps.triggers.models import EntryPoint, Firing
from apps.triggers.starters.event import NAME, EventSpec

log = structlog.get_logger(__name__)
MINUTE = timedelta(minutes=1)


def consume(app: App, events: Sequence[Event]) -> None:
    """The outbox's consumer."""
    waiting = EntryPoint.objects.filter(type=NAME, removed_at=None, paused_at=None).order_by("name")
    specs = [(entry_point, _spec(entry_point)) for entry_point in waiting]
    if not specs:
        return
    tasks = Task.objects.in_bulk({event.task_id for event in events if event.task_id})
    chains = _Chains()
    starts = []
    for event in events:
        happening = Happening(event, tasks.get(event.task_id) if event.task_id else None)
        for entry_point, spec in specs:
            if _wants(entry_point, spec, happening):
                starts.append(_start(entry_point, happening, chains))
    _fire(app, starts)
    for start in (start for start in starts if start.cut):
        log.warning("event_chain_cut", entry_point=start.entry_point.name, reason=start.cut, key=start.key)
    reach(Point.REACTION_WRITES)


def _fire(app: App, starts: Sequence[Start]) -> None:
    """Starts them together; where one of them cannot be written at all, each for itself, so that none waits for it."""
    try:
        fire_many(app, starts)
    except (DataError, ValueError) as error:  # a template made what the database does not take, such as NUL
        if len(starts) == 1:
            log.exception("reaction_broke", entry_point=starts[0].entry_point.name)
            said = f"What the templates make cannot be stored ({type(error).__name__})."
            fire_many(app, [replace(starts[0], cut=said, tells=False)])
            return
        for start in starts:
            _fire(app, [start])


def _spec(entry_point: EntryPoint) -> EventSpec:
    spec = spec_of(entry_point).trigger
    assert isinstance(spec, EventSpec)
    return spec


def _data(happening: Happening) -> dict[str, Any]:
    """What templates may use."""
    event, task = happening.event, happening.task
    said = {
        "id": event.pk, "type": event.type, "at": event.at.isoformat(), "actor": event.actor, "payload": event.payload,
    }  # fmt: skip
    about = {} if task is None else {
        "id": str(task.pk), "agent": task.agent, "entry_point": task.entry_point, "session": task.session,
        "status": task.status, "input": task.input, "output": task.output, "error": task.error,
        "tags": task.tags, "metadata": task.metadata,
    }  # fmt: skip
    return {"event": said, "task": about, "input": {"event": said, "task": about}}


def _names(event: Event) -> set[str]:
    """What it may be asked for by."""
    custom = event.type == EventType.CUSTOM
    return {event.type, f"{NAMED}{event.payload.get('name')}"} if custom else {event.type}


def _wants(entry_point: EntryPoint, spec: EventSpec, happening: Happening) -> bool:
    if spec.exclude_own and happening.entry_point == entry_point.name:
        return False
    filters = (
        (spec.filter_entry_point, happening.entry_point),
        (spec.filter_agent, happening.agent),
        (spec.filter_node, happening.event.payload.get("node")),
    )
    return bool(_names(happening.event) & set(spec.event_types)) and all(
        not wanted or found in wanted for wanted, found in filters
    )


def _start(entry_point: EntryPoint, happening: Happening, chains: _Chains) -> Start:
    task = happening.task
    chain = task.chain if task else 0
    return Start(
        entry_point, Firing.Cause.EVENT, _data(happening), f"event:{happening.event.pk}",
        caused_by=task.pk if task else None, chain=chain + 1, cut=chains.why_cut(entry_point, chain),
        tells=happening.event.type != EventType.EVENT_CHAIN_CUT,  # or that would be cut, and told, without end
    )  # fmt: skip


class _Chains:
    """What keeps chains of reactions from going on for ever."""

    def __init__(self) -> None:
        self._lately: Counter[UUID] = Counter()

    def why_cut(self, entry_point: EntryPoint, chain: int) -> str:
        """Why nothing is started by a task that stands at the end of such a chain; empty: something is."""
        if chain >= settings.HECTOR_EVENT_CHAIN_DEPTH:
            return f"The task is at the end of a chain of {chain} reactions, and no chain may be longer."
        if not chain:
            return ""
        if entry_point.pk not in self._lately:
            reacted = Firing.objects.filter(entry_point=entry_point, cause=Firing.Cause.EVENT, task__isnull=False)
            self._lately[entry_point.pk] = reacted.filter(at__gt=Now() - MINUTE).count()
        if self._lately[entry_point.pk] >= settings.HECTOR_EVENT_CHAIN_RATE:
            return f"It has reacted {self._lately[entry_point.pk]} times in a minute, some to its own consequences."
        self._lately[entry_point.pk] += 1
        return ""
