"""The instants of timers, beside those that somebody finds who looks at the clock every minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from apps.triggers.entry_points.schedules import (
    ALL_AT_MOST,
    Cron,
    CronInvalid,
    Interval,
    Schedule,
    between,
    check,
    due,
)

MINUTE = timedelta(minutes=1)
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",  # half an hour forward and back
    "Africa/Casablanca",  # back in spring, forward when Ramadan is over
    "Asia/Kolkata",
    "Pacific/Apia",  # a whole day was left out
]
CHANGES = [
    datetime(2026, 3, 8, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC),
    datetime(2026, 10, 3, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC),
    datetime(2026, 2, 15, tzinfo=UTC), datetime(2026, 3, 22, tzinfo=UTC), datetime(2011, 12, 30, tzinfo=UTC),
]  # fmt: skip


# --- Somebody who looks at the clock every minute -------------------------------------------------------------------
def seen(expression: str, zone: ZoneInfo, begin: datetime, minutes: int) -> list[datetime]:
    """When the clock shows a time that the expression means, and has not shown it before; or has just passed it by."""
    wanted = reader(expression)
    found = []
    before = (begin - MINUTE).astimezone(zone).replace(tzinfo=None)
    for number in range(minutes):
        instant = begin + number * MINUTE
        shown = instant.astimezone(zone)
        plain = shown.replace(tzinfo=None)
        passed = [before + step * MINUTE for step in range(1, int((plain - before) / MINUTE))]
        if (wanted(plain) and not shown.fold) or any(map(wanted, passed)):
            found.append(instant)
        before = plain
    return found


def reader(expression: str) -> Callable[[datetime], bool]:
    minute, hour, day, month, weekday = expression.split()
    names = {name: str(number) for number, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}

    def values(text: str, least: int, most: int) -> set[int]:
        found: set[int] = set()
        for part in text.split(","):
            span, _, step = part.partition("/")
            first, _, last = (f"{least}-{most}" if span == "*" else span).partition("-")
            low, high = int(names.get(first, first)), int(names.get(last or first, last or first))
            full = range(low, high + 1) if low <= high else [*range(low, most + 1), *range(least, high + 1)]
            found.update(list(full)[:: int(step or 1)])
        return found

    minutes, hours, days, months = values(minute, 0, 59), values(hour, 0, 23), values(day, 1, 31), values(month, 1, 12)
    weekdays = {number % 7 for number in values(weekday, 0, 6 if "7" not in weekday else 7)}

    def is_day(time: datetime) -> bool:
        on_day, on_weekday = time.day in days, time.isoweekday() % 7 in weekdays
        return (on_day or on_weekday) if "*" not in (day, weekday) else (on_day and on_weekday)

    return lambda time: time.minute in minutes and time.hour in hours and time.month in months and is_day(time)


def part(least: int, most: int) -> st.SearchStrategy[str]:
    number = st.integers(least, most)
    span = st.tuples(number, number).map(lambda two: f"{min(two)}-{max(two)}")
    step = st.tuples(st.one_of(st.just("*"), span), st.integers(1, most)).map(lambda two: f"{two[0]}/{two[1]}")
    return st.lists(st.one_of(number.map(str), span, step), min_size=1, max_size=3).map(",".join)


ROUND = st.sampled_from(["fri-mon", "sat-sun", "mon-fri", "sun", "5-7", "0-7", "mon,wed-fri"])
EXPRESSIONS = st.tuples(
    st.one_of(st.just("*"), part(0, 59)),
    st.one_of(st.just("*"), st.sampled_from(["2", "1-3", "0,2", "2-23/2"]), part(0, 23)),
    st.one_of(st.just("*"), part(1, 28)),
    st.just("*"),
    st.one_of(st.just("*"), part(0, 6), ROUND),
).map(" ".join)


@given(EXPRESSIONS, st.sampled_from(ZONES), st.sampled_from(CHANGES), st.integers(-240, 1200))
@example("30 2 * * *", "Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC), -60)
@example("*/20 * * * *", "Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC), 0)
@example("15 2 * * *", "Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC), 840)
@example("0 12 * * *", "Pacific/Apia", datetime(2011, 12, 30, tzinfo=UTC), 500)
@settings(max_examples=60, deadline=None)
def test_a_cron_fires_when_somebody_at_the_clock_would(
    expression: str, zone_name: str, change: datetime, offset: int
) -> None:
    zone, begin, minutes = ZoneInfo(zone_name), change + offset * MINUTE, 240
    wanted = seen(expression, zone, begin, minutes)
    schedule = Cron(expression, zone)
    end = begin + (minutes - 1) * MINUTE
    assert list(between(schedule, begin, end)) == wanted
    assert list(forward(schedule, begin, end)) == wanted
    assert list(backward(schedule, begin, end)) == wanted[::-1]


def forward(schedule: Schedule, begin: datetime, end: datetime) -> Iterator[datetime]:
    found = schedule.after(begin - timedelta(microseconds=1))
    while found <= end:
        yield found
        found = schedule.after(found + timedelta(seconds=17))


def backward(schedule: Schedule, begin: datetime, end: datetime) -> Iterator[datetime]:
    found = schedule.until(end + timedelta(seconds=42))
    while found >= begin:
        yield found
        found = schedule.until(found - timedelta(microseconds=1))


# --- The days on which clocks are changed ---------------------------------------------------------------------------
def local(expression: str, zone: str, begin: datetime, count: int) -> list[str]:
    found = islice(between(Cron(expression, ZoneInfo(zone)), begin, datetime(2100, 1, 1, tzinfo=UTC)), count)
    return [instant.astimezone(ZoneInfo(zone)).strftime("%d. %H:%M %z") for instant in found]


SPRING, AUTUMN = datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC)


def test_a_time_that_a_day_does_not_have_comes_once_at_the_next_that_it_has() -> None:
    assert local("30 2 * * *", "Europe/Berlin", SPRING, 2) == ["29. 03:00 +0200", "30. 02:30 +0200"]
    assert local("*/30 2-3 * * *", "Europe/Berlin", SPRING, 3) == [
        "29. 03:00 +0200", "29. 03:30 +0200", "30. 02:00 +0200",
    ]  # fmt: skip


def test_a_time_that_a_day_has_twice_comes_once_the_first_time() -> None:
    assert local("30 2 * * *", "Europe/Berlin", AUTUMN, 2) == ["25. 02:30 +0200", "26. 02:30 +0100"]
    assert local("0 1-3 * * *", "Europe/Berlin", AUTUMN, 3) == ["25. 01:00 +0200", "25. 02:00 +0200", "25. 03:00 +0100"]


def test_asked_within_the_hour_that_comes_twice_it_is_over() -> None:
    second_time = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    schedule = Cron("*/20 * * * *", ZoneInfo("Europe/Berlin"))
    assert schedule.after(second_time) == datetime(2026, 10, 25, 2, 0, tzinfo=UTC)
    assert schedule.until(second_time) == datetime(2026, 10, 25, 0, 40, tzinfo=UTC)


# --- Intervals ------------------------------------------------------------------------------------------------------
def test_an_interval_does_not_drift() -> None:
    anchor = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    schedule = Interval(anchor, timedelta(seconds=7))
    late = anchor + timedelta(seconds=7 * 1_000_000 + 3.5)
    assert schedule.after(late) == anchor + timedelta(seconds=7 * 1_000_001)
    assert schedule.until(late) == anchor + timedelta(seconds=7 * 1_000_000)
    assert schedule.until(schedule.after(late)) == schedule.after(late)


# --- What is due ----------------------------------------------------------------------------------------------------
HOURLY = Interval(datetime(2026, 1, 1, tzinfo=UTC), timedelta(hours=1))


def at(hours: float) -> datetime:
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("misfire", "now", "fires", "missed", "following"),
    [
        ("once", 3.001, [3], None, 4),
        ("all", 3.001, [3], None, 4),
        ("skip", 3.001, [3], None, 4),
        ("once", 5.5, [5], (3, 4), 6),
        ("all", 5.5, [3, 4, 5], None, 6),
        ("skip", 5.5, [], (3, 5), 6),
        ("skip", 5.01, [5], (3, 4), 6),
        ("skip", 3.5, [], (3, 3), 4),
    ],
)
def test_what_is_made_up_for(
    misfire: str, now: float, fires: list[int], missed: tuple[int, int] | None, following: int
) -> None:
    found = due(HOURLY, at(3), at(now), misfire)
    assert found.instants == [at(hour) for hour in fires]
    assert found.missed == (missed and (at(missed[0]), at(missed[1])))
    assert found.following == at(following)


def test_all_makes_up_for_so_many_at_most() -> None:
    found = due(HOURLY, at(3), at(1000.5), "all")
    assert (len(found.instants), found.instants[-1]) == (ALL_AT_MOST, at(1000))
    assert found.missed == (at(3), at(1000 - ALL_AT_MOST))


def test_a_first_firing_need_not_be_one_of_the_schedule() -> None:
    found = due(HOURLY, at(2.25), at(2.25), "once")
    assert (found.instants, found.missed, found.following) == ([at(2.25)], None, at(3))
    found = due(HOURLY, at(2.25), at(4.5), "all")
    assert found.instants == [at(2.25), at(3), at(4)]


# --- Expressions ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("* * * *", "five fields"),
        ("* * * * * *", "has 6"),
        ("@daily", "five fields"),
        ("60 * * * *", "'60' is no minute"),
        ("* 24 * * *", "is no hour"),
        ("* * 0 * *", "is no day of the month"),
        ("* * * 13 *", "is no month"),
        ("* * * * 8", "is no day of the week"),
        ("* * * mon *", "is no month"),
        ("*/0 * * * *", "step"),
        ("*/70 * * * *", "step"),
        ("5/15 * * * *", "no range"),
        ("* 22-2 * * *", "from the higher hour"),
        ("* * * * fri-mon/2", "from the higher"),
        ("* * L * *", "is no day of the month"),
        ("* * * * 1#2", "is no day of the week"),
        ("R * * * *", "is no minute"),
        ("*-5 * * * *", "is no minute"),
        (",5 * * * *", "is no minute"),
        ("* * ? * *", "is no day"),
        ("0 0 30 2 *", "never true"),
        ("0 0 31 4,6 *", "never true"),
    ],
)
def test_what_is_no_expression_is_refused(expression: str, says: str) -> None:
    with pytest.raises(CronInvalid, match=says):
        check(expression)


def test_names_are_read_in_any_case() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert Cron("0 9  * JAN-mar Mon,FRI-sun", UTC).after(begin) == datetime(2026, 1, 2, 9, tzinfo=UTC)


def test_the_29th_of_february_may_be_eight_years_away() -> None:
    assert Cron("0 0 29 2 *", UTC).after(datetime(2096, 3, 1, tzinfo=UTC)) == datetime(2104, 2, 29, tzinfo=UTC)
