"""Bulk work on dead letters: one verb, applied to a set of letters that is fixed when somebody confirms it.

An `Operation` holds its letters as items. They are written in the transaction that starts it, compared with what the
person was shown, and worked off by the workers (`apps.tasks.operations_run`) in small transactions, each of which
changes some letters and writes down what became of them. So a crash repeats nothing and forgets nothing, and once
`stop` has returned nothing more is done.

With a canary one letter is retried first. The others follow by themselves once its task has completed; if it ends in
any other way, the operation stops and leaves them as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count
from django.db.models.functions import Now
from django.utils import timezone

from apps.queue import entries, sql
from apps.queue.entries import NewEntry
from apps.tasks import dead_letters
from apps.tasks.dead_letters import OPEN, LetterFilter, LetterResolved, find
from apps.tasks.errors import TaskOperationError
from apps.tasks.events import EventType, NewEvent, announce
from apps.tasks.models import FINAL, DeadLetter, Operation, OperationItem, TaskStatus
from apps.tenancy.models import App

log = structlog.get_logger(__name__)
KIND = "operation"  # of its queue entry
BATCH = 20  # items per transaction: some tens of milliseconds
CANARY_LOOKS = (1.0, 30.0)  # seconds between two looks at the canary: the soonest and the latest
Verb, Status, Outcome = Operation.Verb, Operation.Status, OperationItem.Outcome


class OperationRefused(TaskOperationError):
    """The operation was not started, or cannot be stopped."""


class FilterEmpty(OperationRefused):
    """No filter narrows the letters down, and nobody said that all of them are meant."""

    code = "filter_empty"


class NothingMatches(OperationRefused):
    """No open dead letter matches."""

    code = "nothing_matches"


class UnknownLetters(OperationRefused):
    """Some of the dead letters that were named do not exist."""

    code = "unknown_dead_letters"


class SetChanged(OperationRefused):
    """The letters are not those that were shown."""

    code = "set_changed"


class OperationEnded(OperationRefused):
    """The operation has ended."""

    code = "operation_ended"


@dataclass(frozen=True)
class Shown:
    """What somebody saw before they confirmed: how many letters, and which (a digest; empty if nobody took one)."""

    count: int
    digest: str = ""


@dataclass(frozen=True)
class Request:
    """What is asked for. `everything` must be said where the filter leaves nothing out."""

    verb: str
    which: LetterFilter
    new_input: Any = None
    reason: str = ""
    canary: bool = False
    everything: bool = False

    def options(self) -> dict[str, Any]:
        options: dict[str, Any] = {} if self.new_input is None else {"input": self.new_input}
        return options | ({"reason": self.reason} if self.reason else {}) | ({"canary": True} if self.canary else {})


def touched(which: LetterFilter) -> LetterFilter:
    """The letters that an action on a filter touches: the open ones. Named one by one, all of them are looked at."""
    return which if which.ids is not None else replace(which, status=OPEN)


def shown(which: LetterFilter) -> Shown:
    """What an action would touch now, to be confirmed."""
    return _shown(find(touched(which)).order_by("pk").values_list("pk", flat=True))


def _shown(ids: Iterable[int]) -> Shown:
    texts = [str(pk) for pk in ids]
    return Shown(len(texts), hashlib.sha256(",".join(texts).encode()).hexdigest()[:32])


def start(app: App, asked: Request, *, by: str, expected: Shown | None = None) -> Operation:
    """Records the operation with exactly the letters that it will touch, and hands it to the workers.

    Raises FilterEmpty, NothingMatches and, if they are not the `expected` ones, SetChanged.
    """
    if asked.verb != Verb.RETRY and (asked.canary or asked.new_input is not None):
        raise OperationRefused("only a retry takes an input or a canary")
    if asked.which.is_empty and not asked.everything:
        raise FilterEmpty("no filter is set: say `all` if all open dead letters of the App are meant")
    with transaction.atomic():
        operation = Operation.objects.create(
            verb=asked.verb, filter=asked.which.as_json(), options=asked.options(), actor=by, total=0
        )
        operation.total = _write_items(operation, asked.which)
        if expected is not None:
            _compare(operation, expected)
        if asked.which.ids is not None and operation.total < len(set(asked.which.ids)):
            raise UnknownLetters(_unknown(asked.which))
        if not operation.total:
            raise NothingMatches("no open dead letter matches; nothing was started")
        operation.save(update_fields=["total"])
        _note(
            operation, EventType.OPERATION_STARTED, by, verb=asked.verb, total=operation.total, filter=operation.filter
        )
        enqueue(app, [operation])
    return operation


def _write_items(operation: Operation, which: LetterFilter) -> int:
    query, params = find(touched(which)).order_by("pk").values("id").query.sql_with_params()
    return sql.execute(
        "INSERT INTO tasks_operationitem (operation_id, dead_letter_id, outcome, detail)"
        f" SELECT %s, letter.id, 'waiting', '' FROM ({query}) letter",
        [sql.uid(operation.pk), *params],
    )


def _unknown(which: LetterFilter) -> str:
    known = set(find(which).values_list("pk", flat=True))
    missing = [str(pk) for pk in which.ids or () if pk not in known]
    return f"there is no dead letter {', '.join(missing[:10])}; nothing was started"


def _compare(operation: Operation, expected: Shown) -> None:
    count = operation.total
    same = count == expected.count
    if same and expected.digest:
        items = OperationItem.objects.filter(operation=operation).order_by("dead_letter_id")
        same = _shown(items.values_list("dead_letter_id", flat=True)) == expected
    if not same:
        raise SetChanged(f"{expected.count} dead letters were shown and {count} match now; nothing was started")


def stop(app: App, operation: Operation, *, by: str, reason: str = "") -> Operation:
    """Ends the operation; what was done stays done. Raises OperationEnded."""
    with transaction.atomic():
        if not _end(operation, Status.STOPPED, stopped_by=by, stop_reason=reason):
            operation.refresh_from_db()
            raise OperationEnded(f"the operation has ended: it is {operation.status}")
        entries.remove(app, operation.pk, kind=KIND)
        _note(operation, EventType.OPERATION_STOPPED, by, **({"reason": reason} if reason else {}))
    operation.refresh_from_db()
    return operation


def counts(operation: Operation) -> dict[str, int]:
    """How many items had each outcome; `gone` are those whose letters are no longer kept."""
    found = {outcome.value: 0 for outcome in Outcome}
    rows = OperationItem.objects.filter(operation=operation).values_list("outcome").annotate(count=Count("pk"))
    found |= dict(rows.order_by())
    return found | {"gone": operation.total - sum(found.values())}


def enqueue(app: App, operations: Iterable[Operation]) -> None:
    entries.enqueue(app, [NewEntry(operation.pk, KIND, entries.AHEAD) for operation in operations])


# --- Working it off -----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Step:
    """What is left after a step: nothing, or more after a pause (in seconds; 0: at once)."""

    over: bool
    pause: float = 0.0


def step(app: App, operation_id: Any) -> Step:
    """Does the next few items, inside the App and a transaction. Of two at once, one waits and then goes on."""
    operation = Operation.objects.select_for_update().filter(pk=operation_id, status=Status.RUNNING).first()
    if operation is None:
        return Step(over=True)
    waiting = OperationItem.objects.filter(operation=operation, outcome=Outcome.WAITING).order_by("pk")
    limit = BATCH
    if operation.options.get("canary"):
        canary = _canary(operation)
        if canary is None:
            limit = 1
        elif (verdict := _verdict(operation, canary)) is not None:
            return verdict
    items = list(waiting.select_related("dead_letter")[:limit])
    for item in items:
        _perform(app, operation, item)
    if len(items) < limit:
        _complete(operation)
        return Step(over=True)
    return Step(over=False)


def _canary(operation: Operation) -> OperationItem | None:
    """The first item that was not skipped, if there is one yet."""
    tried = OperationItem.objects.filter(operation=operation, outcome__in=[Outcome.DONE, Outcome.FAILED])
    return tried.select_related("dead_letter__task").order_by("pk").first()


def _verdict(operation: Operation, canary: OperationItem) -> Step | None:
    """What to do instead of going on; None: the canary is well."""
    task = canary.dead_letter.task
    if canary.outcome == Outcome.DONE and task.status == TaskStatus.COMPLETED:
        return None
    if canary.outcome == Outcome.DONE and task.status not in FINAL:
        elapsed = (timezone.now() - canary.at).total_seconds() if canary.at else 0.0
        soonest, latest = CANARY_LOOKS
        return Step(over=False, pause=min(latest, max(soonest, elapsed / 10)))
    if canary.outcome == Outcome.FAILED:
        why = f"the first letter could not be retried: {canary.detail}"
    else:
        why = f"the task that was retried first is {task.status}"
        why += f": {task.error['message']}" if task.error else ""
    _end(operation, Status.STOPPED, stop_reason=why)
    _note(operation, EventType.OPERATION_STOPPED, "", reason=why)
    return Step(over=True)


def _perform(app: App, operation: Operation, item: OperationItem) -> None:
    """One item, with its outcome; what was wrong with it undoes nothing of the others."""
    outcome, detail = Outcome.DONE, ""
    try:
        with transaction.atomic():
            _apply(app, operation, item.dead_letter)
    except LetterResolved as error:
        outcome, detail = Outcome.SKIPPED, str(error)
    except TaskOperationError as error:
        outcome, detail = Outcome.FAILED, str(error)
    except (OperationalError, InterfaceError):
        raise  # the database's: the whole step is done again
    except Exception:  # one letter that cannot be handled must not keep the others waiting
        log.exception("operation_item_failed", operation=str(operation.pk), dead_letter=item.dead_letter_id)
        outcome, detail = Outcome.FAILED, "Hector could not do this; its log says why"
    OperationItem.objects.filter(pk=item.pk).update(outcome=outcome, detail=detail, at=Now())


def _apply(app: App, operation: Operation, letter: DeadLetter) -> None:
    reason = operation.options.get("reason", "")
    if operation.verb == Verb.RETRY:
        new_input = operation.options.get("input")
        dead_letters.retry(app, letter, by=operation.actor, new_input=new_input, reason=reason)
    else:
        dead_letters.discard(app, letter, by=operation.actor, reason=reason)


def _complete(operation: Operation) -> None:
    _end(operation, Status.COMPLETED)
    done = counts(operation)
    outcomes = {name: done[name] for name in (Outcome.DONE, Outcome.SKIPPED, Outcome.FAILED)}
    _note(operation, EventType.OPERATION_COMPLETED, operation.actor, **outcomes)


def _end(operation: Operation, status: str, **values: Any) -> bool:
    running = Operation.objects.filter(pk=operation.pk, status=Status.RUNNING)
    return bool(running.update(status=status, finished_at=Now(), **values))


def _note(operation: Operation, kind: EventType, by: str, **payload: Any) -> None:
    announce(NewEvent(kind, {"operation": str(operation.pk), **payload}, by))
