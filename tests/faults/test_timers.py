"""A timer's way from one instant to the next, killed at each point of it (in `make test-faults`; `make test` runs a
sample): every instant has one task, and none is left out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from apps.agents.config.apply import apply
from apps.queue.faults import Point
from apps.tasks.models import Task, TaskStatus
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from apps.triggers.entry_points import stillness
from apps.triggers.models import Firing
from tests.faults.scenario import DOCUMENT, Scenario
from tests.support.agents import scripted

SECOND = timedelta(seconds=1)
EVERY_SECOND = {
    "agent": "greeter", "trigger": {"type": "timer", "interval": "1s", "misfire": "all", "run_immediately": True},
    "input": "{{ scheduled_for }}",
}  # fmt: skip
WITH_TIMER = DOCUMENT | {
    "llms": DOCUMENT["llms"] | {"greeter": scripted({"text": "Hello"})},
    "agents": DOCUMENT["agents"] | {"greeter": {"llm": "greeter"}},
    "entry_points": {"tick": EVERY_SECOND},
}
POINTS = {Point.TIMER_WRITES, Point.TIMER_WRITTEN}  # met here, and not in the matrix
KILLED_AT = [
    pytest.param(Point.TIMER_WRITES, marks=pytest.mark.sampled("postgresql")),  # between the tick and the next tick
    pytest.param(Point.TIMER_WRITTEN, marks=pytest.mark.sampled("sqlite")),  # between the trigger and the start
    pytest.param(Point.CLAIMED, marks=pytest.mark.sampled()),
]


@pytest.mark.parametrize("point", KILLED_AT)
def test_a_process_that_is_killed_leaves_no_instant_out_and_repeats_none(scenario: Scenario, point: Point) -> None:
    with scenario.installation.inside():
        app = lifecycle.get("default")
        apply(app, WITH_TIMER, by="tests")
    fault = scenario.arm(point, "kill", visit=2)
    scenario.start_host("one")
    scenario.reached(fault)
    before = len(instants(scenario))
    scenario.wait_for(lambda: len(instants(scenario)) >= before + 3, "the timer goes on")
    with scenario.installation.inside(), in_app("default") as app:
        stillness.pause_all(app, by="tests")
    scenario.wait_for(lambda: not scenario.complaints(), "the invariants hold")
    scenario.wait_for(lambda: are_done(scenario), "what it started is done")
    found = instants(scenario)
    assert found == [found[0] + number * SECOND for number in range(len(found))]
    with scenario.installation.inside(), in_app("default"):
        tasks = Task.objects.filter(entry_point="tick")
        assert {task.pk for task in tasks} == set(Firing.objects.values_list("task", flat=True))
        assert len({task.input["text"] for task in tasks}) == len(tasks) == len(found)


def instants(scenario: Scenario) -> Sequence[datetime]:
    with scenario.installation.inside(), in_app("default"):
        found = Firing.objects.order_by("scheduled_for").values_list("scheduled_for", flat=True)
        return [instant for instant in found if instant]


def are_done(scenario: Scenario) -> bool:
    with scenario.installation.inside(), in_app("default"):
        return not Task.objects.filter(entry_point="tick").exclude(status=TaskStatus.COMPLETED).exists()
