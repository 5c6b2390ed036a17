"""The instants of timers: of a cron expression in a time zone, or of an interval.

Cron has five fields: minute, hour, day of the month, month, day of the week. Each is `*`, a number, a name (`jan`,
`mon`), a range (`1-5`), a step (`*/15`, `8-18/2`), or several of these with commas between. Where both days are
restricted (are not `*`), a day that fits either counts. The days of the week are 0 (Sunday) to 7 (Sunday again), and
their ranges may go round (`fri-mon`).

Times are those of the wall clock. Where clocks are put forward, what falls into the gap comes once, at its end; where
they are put back, what comes twice by the clock comes once, the first time. (croniter fires twice there, and it reads
`1-1` as `*` and `*/70` as `0`; the calendar is the small part of this.)

An interval counts from an instant, so it does not drift, whatever delays a firing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Protocol

LOOK = 9 * 366  # days within which a time has to come: 29 February may be eight years away


class CronInvalid(ValueError):
    """This is no cron expression, or one that never comes true; the message says why."""


class Schedule(Protocol):
    """Instants without end, in UTC."""

    def after(self, instant: datetime) -> datetime:
        """The first one later than this."""

    def until(self, instant: datetime) -> datetime:
        """The last one that is not later than this."""


@dataclass(frozen=True)
class Interval:
    anchor: datetime
    every: timedelta

    def after(self, instant: datetime) -> datetime:
        return self.until(instant) + self.every

    def until(self, instant: datetime) -> datetime:
        return self.anchor + (instant - self.anchor) // self.every * self.every


@dataclass(frozen=True)
class Cron:
    expression: str
    zone: tzinfo

    def after(self, instant: datetime) -> datetime:
        for wall in _read(self.expression).walk(self._wall(instant), 1):
            if (found := _first_instant(wall, self.zone)) > instant:
                return found
        raise CronInvalid(_never(self.expression))

    def until(self, instant: datetime) -> datetime:
        # From the end of the hour that comes twice, if it is such a one.
        start = self._wall(instant) + _turned_back(instant.astimezone(self.zone))
        for wall in _read(self.expression).walk(start, -1):
            if (found := _first_instant(wall, self.zone)) <= instant:
                return found
        raise CronInvalid(_never(self.expression))

    def _wall(self, instant: datetime) -> datetime:
        return instant.astimezone(self.zone).replace(tzinfo=None)


def _first_instant(wall: datetime, zone: tzinfo) -> datetime:
    """When the clock of the zone first shows this time; if it never does, when it is put forward beyond it."""
    instant = wall.replace(tzinfo=zone).astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall:
        return instant
    # The offset of fold 0 is the one before the gap, that of fold 1 the one after it: the change lies between the two.
    before, after = wall.replace(tzinfo=zone, fold=1).astimezone(UTC), instant
    old = before.astimezone(zone).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // 2
        if middle.astimezone(zone).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _turned_back(local: datetime) -> timedelta:
    """By how much the clock has been put back, if it shows this time for the second time now."""
    first, second = local.replace(fold=0).utcoffset(), local.replace(fold=1).utcoffset()
    assert first is not None and second is not None
    return first - second if local.fold else timedelta()


# --- Expressions ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class _Field:
    name: str
    least: int
    most: int
    names: tuple[str, ...] = ()  # of the values from `least` on
    goes_round: bool = False


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    _Field("day of the week", 0, 7, ("sun", "mon", "tue", "wed", "thu", "fri", "sat"), goes_round=True),
)
_PART = re.compile(r"(?P<first>\*|[0-9]{1,2}|[a-z]{3})(?:-(?P<last>[0-9]{1,2}|[a-z]{3}))?(?:/(?P<step>[0-9]{1,2}))?")


@dataclass(frozen=True)
class _Times:
    """The times that an expression means, on a clock that is never changed."""

    minutes: list[int]
    hours: list[int]
    days: set[int]
    months: set[int]
    weekdays: set[int]  # Sunday is 0
    either_day: bool

    def walk(self, start: datetime, step: int) -> Iterator[datetime]:
        """1: those later than the start, the first one first; -1: those that are not, the last one first."""
        for number in range(LOOK):
            day = start.date() + timedelta(days=number * step)
            if not self._has(day):
                continue
            for hour in self.hours[::step]:
                if number == 0 and (hour - start.hour) * step < 0:
                    continue
                for minute in self.minutes[::step]:
                    found = datetime(day.year, day.month, day.day, hour, minute)
                    if (found > start) == (step > 0):
                        yield found

    def _has(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        fits = (day.day in self.days, day.isoweekday() % 7 in self.weekdays)
        return any(fits) if self.either_day else all(fits)


def check(expression: str) -> None:
    """Raises CronInvalid."""
    if next(_read(expression).walk(datetime(2000, 1, 1), 1), None) is None:
        raise CronInvalid(_never(expression))


def _never(expression: str) -> str:
    return f"{expression[:100]!r} is never true: there is no such day"


@lru_cache(maxsize=1000)
def _read(expression: str) -> _Times:
    fields = expression.lower().split()
    if len(fields) != len(_FIELDS):
        raise CronInvalid(
            f"a cron expression has five fields (minute, hour, day of the month, month, day of the week);"
            f" {expression[:100]!r} has {len(fields)}"
        )
    minutes, hours, days, months, weekdays = (
        {value for part in text.split(",") for value in _values(part, field)}
        for text, field in zip(fields, _FIELDS, strict=True)
    )
    either_day = "*" not in (fields[2], fields[4])
    return _Times(sorted(minutes), sorted(hours), days, months, {day % 7 for day in weekdays}, either_day)


def _values(part: str, field: _Field) -> Iterable[int]:
    match = _PART.fullmatch(part)
    if match is None or (match["first"] == "*" and match["last"]):
        raise CronInvalid(f"{part[:20]!r} is no {field.name}")
    step = int(match["step"] or 1)
    if not 0 < step <= field.most:
        raise CronInvalid(f"{part!r} has a step that is not from 1 to {field.most}")
    if match["first"] == "*":
        return range(field.least, min(field.most, 6) + 1 if field.goes_round else field.most + 1)[::step]
    first = _value(match["first"], field)
    last = _value(match["last"], field) if match["last"] else first
    if match["step"] and not match["last"]:
        raise CronInvalid(f"{part!r} has a step but no range: write */{step}, or the range")
    if first <= last:
        return range(first, last + 1, step)
    if match["step"] or not field.goes_round:
        raise CronInvalid(f"{part!r} goes from the higher {field.name} to the lower one")
    return [*range(first, 7), *range(last + 1)]


def _value(text: str, field: _Field) -> int:
    if text in field.names:
        return field.names.index(text) + field.least
    if not text.isdigit() or not field.least <= int(text) <= field.most:
        raise CronInvalid(f"{text!r} is no {field.name}")
    return int(text)


# --- What is due ----------------------------------------------------------------------------------------------------
ALL_AT_MOST = 100  # instants that `misfire: all` makes up for at a time
GRACE = timedelta(minutes=1)  # beyond which an instant has been missed, for `misfire: skip`


@dataclass(frozen=True)
class Due:
    """What a timer has to do now."""

    instants: list[datetime]  # that it fires for, the earliest first
    missed: tuple[datetime, datetime] | None  # the first and the last that it does not make up for
    following: datetime


def due(schedule: Schedule, first: datetime, now: datetime, misfire: str) -> Due:
    """What is due of the instants from `first` (which has come, and need not be of the schedule) until now.

    `all` fires for each of them, the last 100 at most; `once` for the last one; `skip` for the last one if it has come
    within the last minute.
    """
    last = max(first, schedule.until(now))
    following = schedule.after(max(now, last))
    most = ALL_AT_MOST if misfire == "all" else 0 if misfire == "skip" and now - last > GRACE else 1
    instants: list[datetime] = []
    left: datetime | None = last
    while left is not None and len(instants) < most:
        instants.append(left)
        left = _before(schedule, left, first)
    return Due(instants[::-1], None if left is None else (first, left), following)


def _before(schedule: Schedule, instant: datetime, first: datetime) -> datetime | None:
    """The one before this, of those from `first` on."""
    if instant <= first:
        return None
    return max(first, schedule.until(instant - timedelta(microseconds=1)))


def between(schedule: Schedule, first: datetime, last: datetime) -> Iterator[datetime]:
    """The instants from the one time until the other, both included."""
    found = schedule.until(first)
    if found < first:
        found = schedule.after(first)
    while found <= last:
        yield found
        found = schedule.after(found)
