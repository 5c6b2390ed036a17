"""An entry point's life: named by the configuration, paused and resumed by operators, started by calls.

A pause holds whatever the configuration says, also where an entry point leaves the document and comes back. What an
entry point was when it left is kept, with its firings, as long as these are.
"""

from __future__ import annotations

from typing import Any

import structlog
from django.db import transaction
from django.db.models.functions import Now

from apps.agents.config.schema import Document, EntryPointConfig
from apps.tasks.errors import InputInvalid
from apps.tasks.events import EventType, NewEvent, announce
from apps.tenancy.models import App
from apps.triggers.entry_points import concurrency
from apps.triggers.entry_points import firing as firings
from apps.triggers.errors import EntryPointActive, EntryPointGone, EntryPointPaused
from apps.triggers.models import EntryPoint, Firing
from apps.triggers.starters.base import trigger_types

log = structlog.get_logger(__name__)
ACTIVE = {"removed_at": None, "paused_at": None}


def locked(**which: object) -> list[EntryPoint]:
    """Those entry points; nobody changes them until the transaction ends. In the order of their ids: of two workers
    that lock several of them neither waits for the other."""
    return list(EntryPoint.objects.select_for_update().filter(**which).order_by("pk"))


# --- What the document does ---------------------------------------------------------------------------------------
def put_in_force(app: App, document: Document) -> None:
    """Makes the entry points those of the document, in the transaction that applies it."""
    specs = document.all_entry_points()
    there = {entry_point.name: entry_point for entry_point in locked()}
    for name, entry_point in there.items():
        if name not in specs and entry_point.removed_at is None:
            EntryPoint.objects.filter(pk=entry_point.pk).update(removed_at=Now(), next_at=None)
            trigger_types[entry_point.type].removed(app, entry_point)
            concurrency.put_in_force(app, name, None)
    for name, spec in specs.items():
        concurrency.put_in_force(app, name, spec)
        if name in there:
            _change(app, there[name], spec)
        else:
            made = EntryPoint.objects.create(name=name, **_columns(spec))
            trigger_types[made.type].appeared(app, made)


def _columns(spec: EntryPointConfig) -> dict[str, Any]:
    return {"agent": spec.agent, "type": spec.trigger.type, "spec": spec.model_dump(mode="json")}


def _change(app: App, entry_point: EntryPoint, spec: EntryPointConfig) -> None:
    columns, was = _columns(spec), entry_point.spec
    came_back, other_type = entry_point.removed_at is not None, entry_point.type != columns["type"]
    if not came_back and was == columns["spec"]:
        return
    if other_type and not came_back:
        trigger_types[entry_point.type].removed(app, entry_point)
    next_at = {"next_at": None} if other_type else {}
    EntryPoint.objects.filter(pk=entry_point.pk).update(**columns, **next_at, removed_at=None)
    entry_point.refresh_from_db()
    if entry_point.state != EntryPoint.State.ACTIVE:
        return
    kind = trigger_types[entry_point.type]
    if came_back or other_type:
        kind.appeared(app, entry_point)
    else:
        kind.changed(app, entry_point, was)


# --- What people do -----------------------------------------------------------------------------------------------
def trigger(
    app: App, entry_point: EntryPoint, *, by: str, cause: Firing.Cause = Firing.Cause.API, input: Any = None
) -> Firing:
    """Starts the entry point's work now, whatever else starts it.

    `input` is what its template gets, if nothing but calls starts it and it has one; else it is the task's input. One
    that a clock or something else starts can be started by hand while it is paused, too.

    Raises EntryPointGone, EntryPointPaused or InputInvalid; then nothing was done.
    """
    with transaction.atomic():
        entry_point = named(entry_point)
        kind = trigger_types[entry_point.type]
        if kind.by_call and entry_point.paused_at is not None:
            raise EntryPointPaused(f"{entry_point.name!r} is paused{_because(entry_point)}")
        for_template = kind.by_call and entry_point.spec["input"] is not None
        firing = firings.fire(
            app, entry_point, cause=cause, by=by, data={"input": input if input is not None else {}},
            input=None if for_template else input,
        )  # fmt: skip
        if firing.outcome == Firing.Outcome.REFUSED:
            raise InputInvalid(firing.reason)
    return firing


def pause(app: App, entry_point: EntryPoint, *, by: str, reason: str = "") -> EntryPoint:
    """The entry point starts nothing by itself, and if only calls start it, nothing at all. A second pause changes the
    reason. What it has started goes on. Raises EntryPointGone."""
    with transaction.atomic():
        entry_point = named(entry_point)
        was_paused = entry_point.paused_at is not None
        values: dict[str, Any] = {"paused_by": by, "pause_reason": reason}
        if not was_paused:
            values |= {"paused_at": Now(), "next_at": None}
        EntryPoint.objects.filter(pk=entry_point.pk).update(**values)
        entry_point.refresh_from_db()
        if not was_paused:
            trigger_types[entry_point.type].paused(app, entry_point)
        note(EventType.ENTRY_POINT_PAUSED, entry_point.name, by, reason)
    log.info("entry_point_paused", entry_point=entry_point.name, by=by, reason=reason)
    return entry_point


def resume(app: App, entry_point: EntryPoint, *, by: str, reason: str = "") -> EntryPoint:
    """Lets it start work again, from now on: what it did not start meanwhile is not made up for.

    Raises EntryPointGone or EntryPointActive.
    """
    with transaction.atomic():
        entry_point = named(entry_point)
        if entry_point.paused_at is None:
            raise EntryPointActive(f"{entry_point.name!r} is not paused")
        EntryPoint.objects.filter(pk=entry_point.pk).update(paused_at=None, paused_by="", pause_reason="")
        entry_point.refresh_from_db()
        trigger_types[entry_point.type].resumed(app, entry_point)
        note(EventType.ENTRY_POINT_RESUMED, entry_point.name, by, reason)
    log.info("entry_point_resumed", entry_point=entry_point.name, by=by, reason=reason)
    return entry_point


def named(entry_point: EntryPoint) -> EntryPoint:
    """The entry point as it is now, locked. Raises EntryPointGone."""
    [found] = locked(pk=entry_point.pk)
    if found.removed_at is not None:
        raise EntryPointGone(f"the configuration does not name {found.name!r} any more")
    return found


def _because(entry_point: EntryPoint) -> str:
    return f": {entry_point.pause_reason}" if entry_point.pause_reason else ""


def note(kind: EventType, name: str | None, by: str, reason: str) -> None:
    announce(NewEvent(kind, {"entry_point": name, **({"reason": reason} if reason else {})}, by))
