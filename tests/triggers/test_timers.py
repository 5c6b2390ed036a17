"""Timers: what fires when, once, and what is written down where nothing does. The clock is the test's own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from apps.queue import holds, leases, sql, workers
from apps.queue.models import QueueEntry, Worker
from apps.tasks.integrity import complaints
from apps.tasks.models import Task, TaskStatus
from apps.tasks.recovery import repair
from apps.tenancy.models import App
from apps.triggers.entry_points import backfill, clock, lifecycle, stillness, ticking, timers
from apps.triggers.errors import BackfillChanged, BackfillTooLarge, NotATimer, TimersNotPaused
from apps.triggers.models import EntryPoint, Firing
from tests.support.agents import submit
from tests.triggers.entry_points import entry, events, named, put
from tests.triggers.test_entry_points import faults

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


class Clock:
    """A clock that stands still until it is put forward; the queue's scheduled entries come due with it."""

    def __init__(self) -> None:
        self.instant = NOON

    def __call__(self) -> datetime:
        return self.instant

    def set(self, instant: datetime) -> None:
        self.instant = instant


@pytest.fixture(autouse=True)
def at(monkeypatch: pytest.MonkeyPatch) -> Clock:
    stands = Clock()
    monkeypatch.setattr(clock, "now", stands)
    return stands


@pytest.fixture
def worker(app: App) -> Worker:
    return workers.register(slots=32)


def tick(app: App, worker: Worker, instant: datetime, at: Clock) -> None:
    """It becomes this time, and a worker does what is due."""
    at.set(instant)
    QueueEntry.objects.filter(kind="timer", state="scheduled", run_at__lte=instant).update(
        run_at=sql.instant() - SECOND
    )
    leases.promote_due()
    claimed = [lease for lease in leases.claim(worker.pk, 100) if lease.kind == "timer"]
    assert ticking.begin(app, claimed, str(worker)) == []


def timer(agent: str = "echo", **options: Any) -> dict[str, Any]:
    return entry(agent, "timer", **({"interval": "1h"} if "cron" not in options else {}) | options)


def fired(name: str = "t") -> list[datetime]:
    found = Firing.objects.filter(entry_point__name=name, task__isnull=False).order_by("pk")
    return list(found.values_list("scheduled_for", flat=True))


def skipped(name: str = "t") -> list[str]:
    found = Firing.objects.filter(entry_point__name=name, task=None).order_by("pk")
    return list(found.values_list("reason", flat=True))


def scheduled() -> list[datetime]:
    return [one.run_at for one in QueueEntry.objects.filter(kind="timer").order_by("run_at") if one.run_at]


@pytest.mark.parametrize(
    ("options", "pointer", "says"),
    [
        ({}, "", "either `cron` or `interval`"),
        ({"cron": "0 9 * * *", "interval": "1h"}, "", "either `cron` or `interval`"),
        ({"cron": "0 25 * * *"}, "/cron", "'25' is no hour"),
        ({"cron": "0 0 31 6 *"}, "/cron", "never true"),
        ({"cron": "0 9 * * *", "timezone": "Europe/Bonn"}, "/timezone", "no time zone 'Europe/Bonn'"),
        ({"cron": "0 9 * * *", "timezone": "../../etc/passwd"}, "/timezone", "no time zone"),
        ({"interval": "500ms"}, "/interval", "greater than or equal to 1"),
        ({"interval": "1h", "misfire": "twice"}, "/misfire", "'once', 'all' or 'skip'"),
    ],
)  # fmt: skip
def test_a_timer_that_cannot_be_is_refused_at_its_place(options: Any, pointer: str, says: str) -> None:
    said = faults({"t": entry("echo", "timer", **options)})
    assert says in said[f"/entry_points/t/trigger{pointer}"], said


def test_a_timer_fires_at_its_times_in_its_zone(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer(cron="30 14 * * *", timezone="Europe/Berlin", input="It is {{ scheduled_for }}, {{ now | date }}"))
    first = NOON + 30 * MINUTE
    assert scheduled() == [first] and named("t").next_at == first
    tick(app, worker, first - SECOND, at)
    assert fired() == []
    tick(app, worker, first + SECOND, at)
    assert fired() == [first] and scheduled() == [first + 24 * HOUR]
    task = Task.objects.get(entry_point="t")
    assert (task.input, task.created_by) == ({"text": "It is 2026-05-04T14:30:00+02:00, 2026-05-04"}, "")
    [told] = events("timer_fired")
    assert (told["entry_point"], told["scheduled_for"]) == ("t", first.isoformat())
    assert complaints(app) == []


def test_an_interval_does_not_drift_however_late_it_is(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer(interval="10s"))
    for number in range(1, 6):
        tick(app, worker, NOON + number * 10 * SECOND + timedelta(seconds=3.7), at)
    assert fired() == [NOON + number * 10 * SECOND for number in range(1, 6)]


def test_run_immediately_fires_once_when_it_is_first_named(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer(run_immediately=True))
    tick(app, worker, NOON, at)
    put(app, t=timer(run_immediately=True, priority=3))
    tick(app, worker, NOON + MINUTE, at)
    assert fired() == [NOON] and scheduled() == [NOON + HOUR]


@pytest.mark.parametrize(
    ("misfire", "makes_up", "reasons"),
    [
        ("once", [3], ["from 2026-05-04 13:00:00 until 2026-05-04 14:00:00 UTC was missed"]),
        ("all", [1, 2, 3], []),
        ("skip", [], ["until 2026-05-04 15:00:00 UTC was missed, and is not made up for (misfire: skip)."]),
    ],
)
def test_what_was_missed_is_made_up_for_as_the_timer_says(
    app: App, worker: Worker, at: Clock, misfire: str, makes_up: list[int], reasons: list[str]
) -> None:
    put(app, t=timer(misfire=misfire))
    tick(app, worker, NOON + 3.5 * HOUR, at)
    assert fired() == [NOON + hours * HOUR for hours in makes_up]
    assert len(skipped()) == len(reasons) and all(map(str.__contains__, skipped(), reasons)), skipped()
    assert [told["reason"] for told in events("timer_skipped")] == skipped()
    assert scheduled() == [NOON + 4 * HOUR]


def test_whoever_comes_second_fires_nothing_twice(app: App, worker: Worker, at: Clock) -> None:
    """As after a crash that lost the queue's half of a commit: the entry is still that of the last instant."""
    put(app, t=timer())
    tick(app, worker, NOON + HOUR, at)
    for _ in range(2):
        QueueEntry.objects.filter(kind="timer").update(run_at=NOON)
        tick(app, worker, NOON + HOUR + SECOND, at)
    assert fired() == [NOON + HOUR] and scheduled() == [NOON + 2 * HOUR]
    EntryPoint.objects.update(next_at=NOON + HOUR)  # even where the App's own half is that of the last instant
    QueueEntry.objects.filter(kind="timer").update(run_at=NOON)
    tick(app, worker, NOON + HOUR + SECOND, at)
    assert fired() == [NOON + HOUR] and Task.objects.filter(entry_point="t").count() == 1


def test_a_worker_that_lost_its_lease_leaves_the_timer_to_the_other(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer())
    at.set(NOON + HOUR)
    QueueEntry.objects.filter(kind="timer").update(run_at=sql.instant() - SECOND)
    leases.promote_due()
    [lease] = leases.claim(worker.pk, 10)
    workers.sign_off(worker.pk)
    ticking.begin(app, [lease], str(worker))
    assert fired() == []
    tick(app, workers.register(slots=4), NOON + HOUR, at)
    assert fired() == [NOON + HOUR]


def test_a_template_that_fails_is_written_down_and_the_timer_goes_on(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer("typed", input={"n": "{{ scheduled_for.nothing }}"}), u=timer())
    tick(app, worker, NOON + HOUR, at)
    assert fired("u") == [NOON + HOUR] and "asks for what is not there" in skipped()[0]
    assert scheduled() == [NOON + 2 * HOUR] * 2


# --- Idle -----------------------------------------------------------------------------------------------------------
def test_a_busy_agent_is_left_alone_until_it_has_been_idle(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer(idle_timeout="5m"), u=timer("typed", idle_timeout="5m", input={"n": 1}))
    task = submit(app, "echo")
    Task.objects.filter(pk=task.pk).update(status=TaskStatus.RUNNING)
    tick(app, worker, NOON + HOUR, at)
    assert fired() == [] and fired("u") == [NOON + HOUR]
    assert skipped()[0].startswith("echo is busy: 1 running, active 0 s ago (idle_timeout: 300 s)")
    task.events.update(at=sql.instant() - 6 * MINUTE)
    tick(app, worker, NOON + 2 * HOUR, at)
    assert fired() == [NOON + 2 * HOUR]
    assert len(skipped()) == 1


# --- Pauses ---------------------------------------------------------------------------------------------------------
def test_a_paused_timer_fires_nothing_and_makes_up_for_nothing(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer(misfire="all"))
    lifecycle.pause(app, named("t"), by="anna")
    assert scheduled() == [] and timers.next_runs(named("t")) == []
    tick(app, worker, NOON + 3.5 * HOUR, at)
    lifecycle.resume(app, named("t"), by="anna")
    tick(app, worker, NOON + 3.6 * HOUR, at)
    assert fired() == [] and scheduled() == [NOON + 4 * HOUR]
    assert timers.next_runs(named("t")) == [NOON + hours * HOUR for hours in (4, 5, 6)]
    assert complaints(app) == []


def test_all_timers_are_kept_still_whatever_the_document_brings(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer(), u=timer())
    lifecycle.pause(app, named("u"), by="anna", reason="broken")
    stillness.pause_all(app, by="anna", reason="month's end")
    put(app, t=timer(interval="30m"), u=timer(), v=timer(run_immediately=True))
    lifecycle.resume(app, named("u"), by="anna")
    tick(app, worker, NOON + 5 * HOUR, at)
    assert Firing.objects.count() == 0 and scheduled() == [] and complaints(app) == []
    assert stillness.resume_all(app, by="bert") == 3
    assert scheduled() == [NOON + 5.5 * HOUR, NOON + 6 * HOUR, NOON + 6 * HOUR]
    assert [told["entry_point"] for told in events("entry_point_paused", "entry_point_resumed")] == [
        "u",
        None,
        "u",
        None,
    ]
    with pytest.raises(TimersNotPaused):
        stillness.resume_all(app, by="bert")


def test_a_timer_is_started_by_hand_while_it_is_paused(app: App, at: Clock) -> None:
    put(app, t=timer("typed", input={"n": 1}))
    lifecycle.pause(app, named("t"), by="anna")
    for value, given in ((None, {"n": 1}), ({"n": 2}, {"n": 2})):
        made = lifecycle.trigger(app, named("t"), by="anna", cause=Firing.Cause.MANUAL, input=value)
        assert Task.objects.get(pk=made.task).input == given


def test_a_pause_of_its_agent_or_app_holds_a_timer(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer())
    holds.hold(app, "echo", by="anna")
    tick(app, worker, NOON + HOUR, at)
    assert fired() == [] and QueueEntry.objects.get(kind="timer").state == "parked"
    holds.lift(app, "echo", by="anna")
    tick(app, worker, NOON + 3.5 * HOUR, at)
    assert fired() == [NOON + 3 * HOUR]


# --- Changes of the document ----------------------------------------------------------------------------------------
def test_a_changed_document_reschedules(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer())
    at.set(NOON + 10 * MINUTE)
    put(app, t=timer(misfire="all", priority=2))
    assert scheduled() == [NOON + HOUR]
    put(app, t=timer(interval="30m"))
    assert scheduled() == [NOON + 40 * MINUTE]
    put(app, t=timer("typed", interval="30m", input={"n": 1}))
    assert QueueEntry.objects.get(kind="timer").lane == "typed"
    put(app, t=timer(cron="0 * * * *"))
    assert scheduled() == [NOON + HOUR]
    put(app, t=entry())
    assert scheduled() == [] and named("t").next_at is None
    put(app, t=timer())
    put(app)
    assert scheduled() == [] and complaints(app) == []


# --- Upkeep ---------------------------------------------------------------------------------------------------------
def test_what_a_crash_left_apart_is_put_together_again(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer(), u=timer(), v=timer())
    QueueEntry.objects.filter(key=named("t").pk).delete()
    EntryPoint.objects.filter(name="u").update(next_at=None)
    QueueEntry.objects.filter(key=named("u").pk).delete()
    assert sorted(complaint.partition(":")[0] for complaint in complaints(app)) == [
        "timer that is not paused and never fires", "timer without its queue entry",
    ]  # fmt: skip
    assert repair(app).enqueued == 2
    assert complaints(app) == [] and scheduled() == [NOON + HOUR] * 3


# --- Making up by hand ----------------------------------------------------------------------------------------------
def test_what_is_missing_is_counted_and_made_up_for_once(app: App, worker: Worker, at: Clock) -> None:
    put(app, t=timer(misfire="skip", input="{{ scheduled_for }}"), u=entry())
    tick(app, worker, NOON + HOUR, at)
    tick(app, worker, NOON + 4.5 * HOUR, at)
    first, last = NOON - 2 * HOUR, NOON + 10 * HOUR
    wanted = [NOON + hours * HOUR for hours in (-2, -1, 0, 2, 3, 4)]
    assert backfill.missing(named("t"), first, last) == wanted
    with pytest.raises(BackfillChanged):
        backfill.backfill(app, named("t"), first, last, count=5, by="anna")
    made = backfill.backfill(app, named("t"), first, last, count=6, by="anna")
    assert [one.scheduled_for for one in made] == wanted and {one.cause for one in made} == {"backfill"}
    assert backfill.missing(named("t"), first, last) == []
    assert backfill.backfill(app, named("t"), first, last, count=0, by="anna") == []
    assert len({task.input["text"] for task in Task.objects.all()}) == 7
    assert scheduled() == [NOON + 5 * HOUR]


def test_too_much_or_what_is_no_timer_is_not_made_up_for(app: App, at: Clock) -> None:
    put(app, t=timer(interval="1s"), u=entry())
    with pytest.raises(BackfillTooLarge):
        backfill.missing(named("t"), NOON - HOUR, NOON)
    with pytest.raises(NotATimer):
        backfill.missing(named("u"), NOON - HOUR, NOON)
