"""Every named point of a task's life meets every fault (in `make test-faults`; `make test` runs a sample).

After each, whatever it was: the task is completed, or a person is asked about exactly the call that may have run; no
call that must not run twice did; and the invariants hold.
"""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import pytest

from apps.queue.faults import Point
from apps.tasks.models import TaskStatus
from tests.faults import (
    strikes,
    test_approvals,
    test_entry_points,
    test_notifications,
    test_replacing,
    test_sessions,
    test_timers,
)
from tests.faults.scenario import STALE, Scenario
from tests.faults.server import RestartableServer
from tests.support.installation import ROOT

# Where the process is stopped: the point, and which time that the task comes to it. The first tool call of the task is
# idempotent, the second is not; the first checkpoint that somebody waits for is that the second one starts.
PLACES = [
    (Point.CLAIMED, 1),
    (Point.BEGUN, 1),
    (Point.MODEL_ASKED, 1),
    (Point.MODEL_ANSWERED, 1),
    (Point.TOOL_STARTS, 1),
    (Point.TOOL_STARTS, 2),
    (Point.TOOL_ENDED, 1),
    (Point.TOOL_ENDED, 2),
    (Point.CHECKPOINT_WRITES, 1),
    (Point.CHECKPOINT_WRITTEN, 1),
    (Point.RUN_ENDED, 1),
    (Point.RETRY_WRITES, 1),
    (Point.SETTLEMENT_WRITES, 1),
    (Point.SETTLEMENT_WRITTEN, 1),
    (Point.APPROVAL_WRITES, 1),
]
Place = tuple[Point, int]
DURING_THE_CALL = {(Point.TOOL_STARTS, 2), (Point.TOOL_ENDED, 2), (Point.CHECKPOINT_WRITTEN, 1)}
IN_A_TRANSACTION = {Point.CHECKPOINT_WRITES, Point.RETRY_WRITES, Point.SETTLEMENT_WRITES, Point.APPROVAL_WRITES}
# `make test` strikes every place once, on the databases in turn, with each database's faults in turn.
TURNS = {"sqlite": ("kill", "term", "freeze", "full"), "postgresql": ("cut", "crash", "kill", "term", "freeze")}


def everywhere(fault: str, points: Collection[Point] = tuple(Point)) -> pytest.MarkDecorator:
    """Runs a test at every place that is one of the points; `make test` does so where it is the fault's turn."""

    def sample(number: int) -> pytest.MarkDecorator:
        turn, engine = divmod(number, len(TURNS))
        name, faults = list(TURNS.items())[engine]
        return pytest.mark.sampled(*[name] if faults[turn % len(faults)] == fault else [])

    places = [
        pytest.param(place, id=f"{place[0]}-{place[1]}", marks=sample(number))
        for number, place in enumerate(PLACES)
        if place[0] in points
    ]
    return pytest.mark.parametrize("place", places)


def start(scenario: Scenario, place: Place, action: str) -> Path:
    """Starts a host that is armed; the directory of the fault."""
    if place[0] == Point.APPROVAL_WRITES:  # the question what became of a call needs a process that died in it
        scenario.arm(Point.TOOL_STARTS, "kill", visit=2)
    fault = scenario.arm(place[0], action, visit=place[1])
    scenario.start_host("one")
    return fault


def came_to_its_end(scenario: Scenario, place: Place, *, process_lost: bool) -> None:
    task = scenario.rested()
    scenario.wait_for(lambda: not scenario.complaints(), "the invariants hold")
    ran = scenario.ran()
    if place[0] == Point.APPROVAL_WRITES or (process_lost and place in DURING_THE_CALL):
        assert scenario.rests_in_doubt(task), (task.status, task.error)
        assert len(scenario.unanswered()) == 1
        assert ran["charge"] <= 1
    else:
        assert task.status == TaskStatus.COMPLETED, task.error
        assert task.output == {"text": "All done."}
        assert scenario.unanswered() == set()
        assert ran["charge"] == 1 and ran["look_up"] >= 1


@everywhere("kill")
def test_a_process_that_is_killed_loses_nothing_and_repeats_nothing(scenario: Scenario, place: Place) -> None:
    scenario.reached(start(scenario, place, "kill"))
    came_to_its_end(scenario, place, process_lost=True)


@everywhere("term")
def test_a_process_that_is_told_to_stop_hands_its_work_on(scenario: Scenario, place: Place) -> None:
    scenario.reached(start(scenario, place, "term"))
    came_to_its_end(scenario, place, process_lost=False)


@everywhere("freeze")
def test_a_process_that_freezes_is_replaced_and_cannot_write_when_it_wakes(
    scenario: Scenario, place: Place, on_postgresql: bool
) -> None:
    if place[0] in IN_A_TRANSACTION and not on_postgresql:
        pytest.skip("it holds SQLite's write lock, which nobody can take from it: see the next test")
    frozen = scenario.freeze(start(scenario, place, "wait"))
    scenario.start_host("two", armed=False)
    scenario.wait_for(lambda: scenario.is_replaced(frozen), "it is replaced")
    came_to_its_end(scenario, place, process_lost=True)
    os.kill(frozen, signal.SIGCONT)
    scenario.wait_for(lambda: scenario.on_shift(frozen), "the process that woke up has started anew")
    came_to_its_end(scenario, place, process_lost=True)


@pytest.mark.parametrize("then", [signal.SIGCONT, signal.SIGKILL], ids=["wakes", "is killed"])
@everywhere("freeze", IN_A_TRANSACTION)
def test_a_process_that_freezes_while_it_writes_to_sqlite_makes_all_wait_until_it_wakes_or_is_gone(
    scenario: Scenario, place: Place, then: signal.Signals, on_postgresql: bool
) -> None:
    if on_postgresql:
        pytest.skip("PostgreSQL takes the locks from a process that does not go on with its transaction")
    frozen = scenario.freeze(start(scenario, place, "wait"), writing=True)
    scenario.start_host("two", armed=False)
    scenario.wait_for(lambda: scenario.has_not_beaten(frozen, 2 * STALE), "its lease is long over")
    assert scenario.refuses_writes() and scenario.holds_the_files(frozen)
    assert not scenario.is_replaced(frozen)
    os.kill(frozen, then)
    came_to_its_end(scenario, place, process_lost=then == signal.SIGKILL)


@everywhere("cut")
def test_a_database_connection_that_is_cut_costs_nothing(scenario: Scenario, place: Place, on_postgresql: bool) -> None:
    if not on_postgresql:
        pytest.skip("SQLite has no connection that could be cut")
    strikes.cut(scenario, start(scenario, place, "wait"))
    came_to_its_end(scenario, place, process_lost=False)


@pytest.mark.xdist_group("server")
@everywhere("crash")
def test_a_database_server_that_crashes_and_comes_back_costs_nothing(
    scenario_on_server: Scenario, server: RestartableServer, place: Place
) -> None:
    strikes.crash(scenario_on_server, start(scenario_on_server, place, "wait"), server)
    came_to_its_end(scenario_on_server, place, process_lost=False)


@everywhere("full")
def test_a_full_disk_delays_the_work_until_there_is_room(scenario: Scenario, place: Place, on_postgresql: bool) -> None:
    if on_postgresql:
        pytest.skip("a full disk is the server's affair, not the worker's")
    with strikes.full_disk(scenario, start(scenario, place, "wait")) as worker:
        scenario.wait_for(lambda: scenario.has_not_beaten(worker, STALE / 2), "it cannot write")
    came_to_its_end(scenario, place, process_lost=False)


def test_every_point_is_in_the_code_once_and_in_the_matrix() -> None:
    source = "".join(path.read_text() for path in Path(ROOT, "apps").rglob("*.py") if path.name != "faults.py")
    assert Counter(re.findall(r"\bPoint\.([A-Z_]+)\b", source)) == {point.name: 1 for point in Point}
    others = (test_approvals, test_entry_points, test_notifications, test_replacing, test_sessions, test_timers)
    elsewhere = {Point.USAGE_COUNTED}.union(*(other.POINTS for other in others))
    assert {point for point, _ in PLACES} | elsewhere == set(Point)
