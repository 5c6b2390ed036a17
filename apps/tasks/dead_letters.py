"""Dead letters: finding them, grouping them, and the two things that can be done with one.

Whatever shows, counts or changes dead letters asks `find` with the same `LetterFilter`, so a number, the list behind it
and what an action touches are always the same letters. A fingerprint belongs to one agent and one error code, so
letters of one group are repaired alike. Grouping 100,000 letters reads one index (`dead_letter_group`) and no row of
them. All is called inside the letters' App.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Count, Expression, F, Func, IntegerField, Max, Min, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from apps.queue import sql
from apps.tasks import lifecycle
from apps.tasks.errors import IllegalTransition
from apps.tasks.events import EventType, NewEvent, record
from apps.tasks.models import DeadLetter, Task
from apps.tasks.search import with_version
from apps.tenancy.models import App

OPEN, RETRIED, DISCARDED = DeadLetter.Status.OPEN, DeadLetter.Status.RETRIED, DeadLetter.Status.DISCARDED


class LetterResolved(IllegalTransition):
    """Only an open dead letter can be retried or discarded."""

    code = "dead_letter_resolved"

    def __init__(self, letter: DeadLetter) -> None:
        by = f" by {letter.resolved_by}" if letter.resolved_by else ""
        super().__init__(f"this dead letter was {letter.status} already{by}")


@dataclass(frozen=True)
class LetterFilter:
    """All that is set must hold. Times are those at which letters were filed."""

    status: str = ""
    fingerprint: str = ""
    agent: str = ""
    code: str = ""
    entered_after: datetime | None = None
    entered_before: datetime | None = None
    up_to: int | None = None  # no letter newer than this one
    ids: tuple[int, ...] | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it leaves nothing out but letters of another status, or newer than those that somebody looked at."""
        return self.given().keys() <= {"status", "up_to"}

    def given(self) -> dict[str, Any]:
        """What is set."""
        return {name: value for name, value in vars(self).items() if value not in ("", None)}

    def as_json(self) -> dict[str, Any]:
        """What is set, for people and records."""
        given = self.given().items()
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in given}


_LOOKUPS = {
    "status": "status",
    "fingerprint": "fingerprint",
    "agent": "agent",
    "code": "code",
    "entered_after": "entered_at__gte",
    "entered_before": "entered_at__lt",
    "up_to": "pk__lte",
    "ids": "pk__in",
}


def find(which: LetterFilter) -> QuerySet[DeadLetter]:
    """The letters of the App that fit, in no order yet."""
    return DeadLetter.objects.filter(**{_LOOKUPS[field]: value for field, value in which.given().items()})


# --- Groups -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Group:
    """The letters of one fingerprint. `sample` is the newest of them."""

    fingerprint: str
    count: int
    first_seen: datetime
    last_seen: datetime
    sample: DeadLetter


def grouped(which: LetterFilter) -> QuerySet[Any]:
    """One row per fingerprint: `fingerprint`, `count`, and the ids of its `first` and its `last` letter."""
    rows = find(which).values("fingerprint").annotate(count=Count("pk"), first=Min("pk"), last=Max("pk"))
    return rows.values_list("fingerprint", "count", "first", "last", named=True)


def described(rows: Sequence[Any]) -> list[Group]:
    """The groups of rows of `grouped`, in their order. Ids rise with time: the first and the last letter tell when."""
    letters = DeadLetter.objects.in_bulk([pk for row in rows for pk in (row.first, row.last)])
    return [
        Group(
            row.fingerprint, row.count, letters[row.first].entered_at, letters[row.last].entered_at, letters[row.last]
        )
        for row in rows
        if row.first in letters and row.last in letters  # they may have been pruned just now
    ]


class _Ago(Func):
    """How many whole steps before now an instant lies."""

    output_field = IntegerField()

    def __init__(self, instant: str, step: timedelta) -> None:
        super().__init__(F(instant))
        self._step = int(step.total_seconds())

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._as("CAST(FLOOR({}) AS BIGINT)", compiler)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._as("CAST({} AS INTEGER)", compiler)

    def _as(self, template: str, compiler: Any) -> tuple[str, list[Any]]:
        instant, params = compiler.compile(self.get_source_expressions()[0])
        return template.format(f"{sql.seconds_since(instant)} / {self._step}"), params


def histories(which: LetterFilter, fingerprints: Iterable[str], *, steps: int, step: timedelta) -> dict[str, list[int]]:
    """For each fingerprint how many letters were filed in each of the last `steps` stretches of time, oldest first."""
    found = {fingerprint: [0] * steps for fingerprint in fingerprints}
    ago: Expression = _Ago("entered_at", step)
    rows = (
        find(which)
        .filter(fingerprint__in=found, entered_at__gt=timezone.now() - step * steps)
        .annotate(ago=ago)
        .values_list("fingerprint", "ago")
        .annotate(count=Count("pk"))
        .order_by()
    )
    for fingerprint, steps_ago, count in rows:
        if 0 <= steps_ago < steps:
            found[fingerprint][steps - 1 - steps_ago] += count
    return found


# --- What can be done with a letter -------------------------------------------------------------------------------
def retry(app: App, letter: DeadLetter, *, by: str, new_input: Any = None, reason: str = "") -> Task:
    """Runs the letter's task again, the same one with all that is known of it; with another input, from its beginning.

    Raises LetterResolved, IllegalTransition or InputInvalid.
    """
    with transaction.atomic():
        task = _task_of(letter)
        _resolve(letter, RETRIED, by=by, reason=reason)
        return lifecycle.retry(app, task, by=by, new_input=new_input, reason=reason)


def discard(app: App, letter: DeadLetter, *, by: str, reason: str = "") -> DeadLetter:
    """Closes the letter; its task stays failed. Raises LetterResolved."""
    with transaction.atomic():
        task = _task_of(letter)
        _resolve(letter, DISCARDED, by=by, reason=reason)
        payload = {"fingerprint": letter.fingerprint, **({"reason": reason} if reason else {})}
        record(task.pk, NewEvent(EventType.DEAD_LETTER_DISCARDED, payload, by))
    letter.refresh_from_db()
    return letter


def _task_of(letter: DeadLetter) -> Task:
    """The letter's task, locked first, as everybody does who changes both."""
    return with_version(Task.objects.all()).select_for_update(of=("self",)).get(pk=letter.task_id)


def _resolve(letter: DeadLetter, status: str, *, by: str, reason: str) -> None:
    resolved = DeadLetter.objects.filter(pk=letter.pk, status=OPEN).update(
        status=status, resolved_at=Now(), resolved_by=by, reason=reason
    )
    if not resolved:
        letter.refresh_from_db()
        raise LetterResolved(letter)
