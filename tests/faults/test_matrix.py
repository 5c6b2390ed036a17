"""Every named point of a task's life meets every fault.

After each, whatever it was: the task is completed, or a person is asked about exactly the call that may have run; no
call that must not run twice did; and the invariants hold.
"""

from __future__ import annotations

import os
import re
import resource
import signal
from collections import Counter
from pathlib import Path

import pytest

from apps.queue.faults import Point
from apps.tasks.models import TaskStatus
from tests.faults.scenario import Scenario
from tests.faults.starter import ROOT
from tests.support.installation import execute
from tests.support.work import wait_for

# Where the process is stopped: the point, and which time that the task comes to it. The first tool call of the task is
# idempotent, the second is not.
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
]
DURING_THE_CALL = {(Point.TOOL_STARTS, 2), (Point.TOOL_ENDED, 2)}
everywhere = pytest.mark.parametrize(("point", "visit"), PLACES, ids=[f"{point}-{visit}" for point, visit in PLACES])


def came_to_its_end(scenario: Scenario, *, in_doubt: bool) -> None:
    task = scenario.rested()
    wait_for(lambda: scenario.complaints() == [], seconds=10, what=f"the invariants hold: {scenario.complaints()}")
    ran = scenario.ran()
    if in_doubt:
        assert scenario.rests_in_doubt(task), (task.status, task.error)
        assert len(scenario.unanswered()) == 1
        assert ran["charge"] <= 1
    else:
        assert task.status == TaskStatus.COMPLETED, task.error
        assert task.output == {"text": "All done."}
        assert scenario.unanswered() == set()
        assert ran["charge"] == 1 and ran["look_up"] >= 1


@everywhere
def test_a_process_that_is_killed_loses_nothing_and_repeats_nothing(
    scenario: Scenario, point: Point, visit: int
) -> None:
    fault = scenario.arm(point, "kill", visit=visit)
    scenario.start_host("one")
    scenario.reached(fault)
    came_to_its_end(scenario, in_doubt=(point, visit) in DURING_THE_CALL)


@everywhere
def test_a_process_that_is_told_to_stop_hands_its_work_on(scenario: Scenario, point: Point, visit: int) -> None:
    fault = scenario.arm(point, "term", visit=visit)
    scenario.start_host("one")
    scenario.reached(fault)
    came_to_its_end(scenario, in_doubt=False)


@everywhere
def test_a_process_that_freezes_is_replaced_and_cannot_write_when_it_wakes(
    scenario: Scenario, point: Point, visit: int
) -> None:
    fault = scenario.arm(point, "stop", visit=visit)
    scenario.start_host("one")
    frozen = scenario.reached(fault)
    scenario.start_host("two", armed=False)
    came_to_its_end(scenario, in_doubt=(point, visit) in DURING_THE_CALL)
    os.kill(frozen, signal.SIGCONT)
    wait_for(lambda: scenario.on_shift(frozen), what="the process that woke up has started anew")
    came_to_its_end(scenario, in_doubt=(point, visit) in DURING_THE_CALL)


@everywhere
def test_a_database_connection_that_is_cut_costs_nothing(
    scenario: Scenario, point: Point, visit: int, on_postgresql: bool
) -> None:
    if not on_postgresql:
        pytest.skip("SQLite has no connection that could be cut")
    fault = scenario.arm(point, "wait", visit=visit)
    scenario.start_host("one")
    scenario.reached(fault)
    name = scenario.installation.url.partition("?")[0].rpartition("/")[2]
    execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    (fault / "go").touch()
    came_to_its_end(scenario, in_doubt=False)


@everywhere
def test_a_full_disk_delays_the_work_until_there_is_room(
    scenario: Scenario, point: Point, visit: int, on_postgresql: bool
) -> None:
    if on_postgresql:
        pytest.skip("PostgreSQL's disk is not the worker's")
    fault = scenario.arm(point, "wait", visit=visit)
    scenario.start_host("one")
    worker = scenario.reached(fault)
    unlimited = resource.prlimit(worker, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    (fault / "go").touch()
    scenario.logged("database_retry")
    resource.prlimit(worker, resource.RLIMIT_FSIZE, unlimited)
    came_to_its_end(scenario, in_doubt=False)


def test_every_point_is_in_the_code_once_and_in_the_matrix() -> None:
    source = "".join(path.read_text() for path in Path(ROOT, "apps").rglob("*.py") if path.name != "faults.py")
    assert Counter(re.findall(r"\bPoint\.([A-Z_]+)\b", source)) == {point.name: 1 for point in Point}
    assert {point for point, _ in PLACES} == set(Point)


