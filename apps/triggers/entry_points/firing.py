"""The one way in which an entry point starts work: each time leaves a `Firing`, whatever comes of it.

    asked -> started | queued | replaced (with a task) | skipped | filtered | refused (with a reason)

Firing, task, queue entry and event are written in one transaction, that of the caller. Of two firings of an entry point
with the same key there is one: the second call gets the first one's record and starts nothing. All is called inside the
App.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from apps.agents.config.schema import EntryPointConfig
from apps.agents.versions import version_of
from apps.queue import sql
from apps.tasks import lifecycle as tasks
from apps.tasks.errors import InputInvalid, TooMuch, UnknownAgent
from apps.tasks.events import EventType, NewEvent, announce, record, record_each
from apps.tasks.lifecycle import NewTask
from apps.tenancy.models import App
from apps.triggers.entry_points import clock, concurrency
from apps.triggers.entry_points.concurrency import Verdict
from apps.triggers.entry_points.specs import spec_of
from apps.triggers.errors import TemplateFailed
from apps.triggers.models import EntryPoint, Firing

Cause, Outcome = Firing.Cause, Firing.Outcome
LONGEST_SESSION = 200
CALLS = (Cause.API, Cause.MANUAL, Cause.WEBHOOK)  # whoever calls can come again

# What is told of a firing with a task, and of one without. (Of calls, the task's own first event tells.)
EVENTS: dict[str, tuple[EventType, EventType]] = {
    Cause.TIMER: (EventType.TIMER_FIRED, EventType.TIMER_SKIPPED),
    Cause.WEBHOOK: (EventType.WEBHOOK_RECEIVED, EventType.WEBHOOK_RECEIVED),
}


@dataclass(frozen=True)
class Start:
    """One time that an entry point is asked to start work."""

    entry_point: EntryPoint
    cause: Firing.Cause
    data: Mapping[str, Any]  # what its templates may use; without a template, `input` is the task's input
    key: str | None = None
    scheduled_for: datetime | None = None
    input: Any = None  # of the task, in the place of what the template makes
    caused_by: UUID | None = None  # the task whose event it is …
    chain: int = 0  # … and how many reactions led here, this one counted
    cut: str = ""  # why this chain is to go no further; a sentence
    tells: bool = True  # whether an event tells of that


def fire(
    app: App,
    entry_point: EntryPoint,
    *,
    cause: Firing.Cause,
    data: Mapping[str, Any],
    key: str | None = None,
    by: str = "",
    scheduled_for: datetime | None = None,
    input: Any = None,
) -> Firing:
    """Starts the entry point's work, unless its key has started it before."""
    return fire_many(app, [Start(entry_point, cause, data, key, scheduled_for, input)], by=by)[0]


def fire_many(app: App, starts: Sequence[Start], *, by: str = "") -> list[Firing]:
    """The same for several at once, each for itself; no two of them may have the same entry point and key."""
    try:
        with transaction.atomic():
            return _fire(app, starts, by)
    except IntegrityError:  # somebody else has fired with one of the keys just now, and is found this time
        with transaction.atomic():
            return _fire(app, starts, by)


@dataclass(frozen=True)
class Skip:
    """One time that an entry point does not start work, and why."""

    entry_point: EntryPoint
    cause: Firing.Cause
    reason: str
    key: str
    scheduled_for: datetime


def skip_many(skips: Sequence[Skip]) -> None:
    """Writes them down."""
    written = [
        (start, _firing(start, Outcome.SKIPPED, skip.reason, ""))
        for skip in skips
        for start in [Start(skip.entry_point, skip.cause, {}, skip.key, skip.scheduled_for)]
    ]
    Firing.objects.bulk_create([firing for _, firing in written], ignore_conflicts=True)
    _tell(written)


def _fire(app: App, starts: Sequence[Start], by: str) -> list[Firing]:
    known = _known(starts)
    new = [start for start in starts if (start.entry_point.pk, start.key) not in known]
    concurrency.lock(start.entry_point for start in new)
    decided = [(start, _admitted(app, start, by)) for start in new]
    wanted = [(start, task) for start, task in decided if isinstance(task, NewTask)]
    made = iter(_submitted(app, wanted, by) if wanted else [])
    written: list[tuple[Start, Firing]] = []
    for start, decision in decided:
        verdict = next(made) if isinstance(decision, NewTask) else decision
        firing = _firing(start, verdict.outcome, verdict.reason, by)
        firing.task = verdict.task.pk if verdict.task else None
        written.append((start, firing))
    Firing.objects.bulk_create([firing for _, firing in written])
    _tell(written)
    fresh = iter(firing for _, firing in written)
    return [known.get((start.entry_point.pk, start.key)) or next(fresh) for start in starts]


def _known(starts: Sequence[Start]) -> dict[tuple[UUID, str | None], Firing]:
    keyed = [start for start in starts if start.key is not None]
    if not keyed:
        return {}
    entry_points = [sql.uid(pk) for pk in {start.entry_point.pk for start in keyed}]
    # `firing_once` serves it. In SQL, which takes less time to put together than to run.
    found = Firing.objects.raw(
        f"SELECT * FROM triggers_firing WHERE entry_point_id IN ({sql.placeholders(len(entry_points))})"
        f" AND key IN ({sql.placeholders(len(keyed))})",
        [*entry_points, *(start.key for start in keyed)],
    )
    return {(firing.entry_point_id, firing.key): firing for firing in found}


def _admitted(app: App, start: Start, by: str) -> NewTask | Verdict:
    """The task to be made, or what became of it where the entry point has a limit. Raises TooMuch as `_submitted`."""
    decision = _decide(start)
    if isinstance(decision, Verdict) or not concurrency.is_limited(start.entry_point):
        return decision
    try:
        with transaction.atomic():  # what was to make room goes on where the new task is not let in
            return concurrency.admit(app, start.entry_point, decision, by=by)
    except TooMuch as error:
        return _not_let_in([start], error)


def _submitted(app: App, wanted: Sequence[tuple[Start, NewTask]], by: str) -> list[Verdict]:
    """The tasks; where a limit of the App does not let all of them in, each for itself.

    Raises TooMuch to whoever calls by themselves.
    """
    try:
        made = tasks.submit_many(app, [task for _, task in wanted], by=by)
        return [Verdict(Outcome.STARTED, task=task) for task in made]
    except TooMuch as error:
        skipped = _not_let_in([start for start, _ in wanted], error)
        if len(wanted) == 1:
            return [skipped]
    return [became for one in wanted for became in _submitted(app, [one], by)]


def _not_let_in(starts: Sequence[Start], error: TooMuch) -> Verdict:
    """What becomes of something that starts by itself. Raises the error to whoever calls."""
    if any(start.cause in CALLS for start in starts):
        raise error
    said = str(error)
    return Verdict(Outcome.SKIPPED, said[:1].upper() + said[1:])


def _decide(start: Start) -> NewTask | Verdict:
    """What is to be done, if there is room for it."""
    if start.cut:
        return Verdict(Outcome.SKIPPED, start.cut)
    spec = spec_of(start.entry_point)
    try:
        data = _data(start, spec)
        value = _input(start, spec, data)
        if start.input is None and spec.input is not None and _templates().is_nothing(value):
            return Verdict(Outcome.FILTERED, "The input's template made nothing of it.")
        version = version_of(spec.agent)
        if version is None:
            raise UnknownAgent(f"there is no agent {spec.agent!r} in this App")
        value, session = tasks.checked_input(version, value), _session(start, spec, data)
    except (TemplateFailed, UnknownAgent, InputInvalid) as error:
        said = str(error)
        return Verdict(Outcome.REFUSED, said[:1].upper() + said[1:])
    return NewTask(
        spec.agent, value, session=session, priority=spec.priority, entry_point=start.entry_point.name,
        caused_by=start.caused_by, chain=start.chain,
    )  # fmt: skip


def _data(start: Start, spec: EntryPointConfig) -> dict[str, Any]:
    """What templates may use."""
    zone, now = spec.trigger.zone, clock.now()
    return {
        **start.data,
        "entry_point": start.entry_point.name,
        "now": now.astimezone(zone),
        "scheduled_for": (start.scheduled_for or now).astimezone(zone),
    }


def _input(start: Start, spec: EntryPointConfig, data: Mapping[str, Any]) -> Any:
    """The task's input. Raises TemplateFailed or InputInvalid."""
    if start.input is not None:
        value = start.input
    elif spec.input is not None:
        value = _templates().render(spec.input, data)
    else:
        value = start.data.get("input", {})
    if not isinstance(value, str | dict):
        raise InputInvalid(f"the input must be text or an object; the template makes {type(value).__name__}")
    return value


def _session(start: Start, spec: EntryPointConfig, data: Mapping[str, Any]) -> str:
    """The task's session. Raises TemplateFailed or InputInvalid."""
    if spec.session is None:
        return start.entry_point.name if spec.isolation == "shared" else ""
    session = _templates().render(spec.session, data)
    session = "" if session is None else str(session)
    if len(session) > LONGEST_SESSION:
        raise InputInvalid(f"the session's name has {len(session)} characters; it may have {LONGEST_SESSION}")
    return session


def _templates() -> ModuleType:
    from apps.triggers.entry_points import templates  # takes a twentieth of a second to import

    return templates


def _firing(start: Start, outcome: Firing.Outcome, reason: str, by: str) -> Firing:
    return Firing(
        entry_point=start.entry_point, cause=start.cause, key=start.key, scheduled_for=start.scheduled_for, by=by,
        outcome=outcome, reason=reason,
    )  # fmt: skip


def _tell(written: Sequence[tuple[Start, Firing]]) -> None:
    """Writes the events: of the task, if there is one."""
    of_tasks: list[tuple[UUID, NewEvent]] = []
    of_none: list[NewEvent] = []
    for start, firing in written:
        if start.cut and start.tells and start.caused_by is not None:
            facts = {"entry_point": start.entry_point.name, "firing": str(firing.pk), "reason": firing.reason}
            record(start.caused_by, NewEvent(EventType.EVENT_CHAIN_CUT, facts))
        if firing.cause not in EVENTS:
            continue
        with_task, without = EVENTS[firing.cause]
        payload: dict[str, Any] = {"entry_point": start.entry_point.name, "firing": str(firing.pk)}
        if firing.scheduled_for is not None:
            payload["scheduled_for"] = firing.scheduled_for.isoformat()
        if firing.task is None:
            of_none.append(NewEvent(without, {**payload, "reason": firing.reason}, firing.by))
        else:
            of_tasks.append((firing.task, NewEvent(with_task, payload, firing.by)))
    record_each(of_tasks)
    announce(*of_none)
