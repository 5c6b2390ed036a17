"""Processes are killed between the stop of a task and the start of the one that takes its place (`on_limit: replace`).

After each: at no time do both run, the old one says `cancelled`, the new one runs, and the invariants hold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pytest_django import DjangoDbBlocker, Settings

from apps.queue.faults import Point
from apps.tasks.models import Task, TaskStatus
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from apps.triggers.entry_points import lifecycle
from apps.triggers.models import EntryPoint, Firing
from tests.faults.scenario import Scenario
from tests.support.installation import Installation
from tests.support.starter import Starter

AGENTS = {
    "agent": {"type": "function", "handler": "tests.faults.programs.pass_by"},
    "resting": {"type": "function", "handler": "tests.faults.programs.rest"},
}
REPORT = {"agent": "resting", "trigger": {"type": "api"}, "max_concurrent": 1, "on_limit": "replace", "session": "s"}
POINTS = {Point.REPLACEMENT_WRITES}  # met here, and not in the matrix
TRIGGER = """
from apps.tenancy.context import in_app
from apps.triggers.entry_points import lifecycle
from apps.triggers.models import EntryPoint
with in_app("default") as app:
    lifecycle.trigger(app, EntryPoint.objects.get(name="report"), by="anna")
"""


@pytest.fixture
def replacing(
    installation: Installation, starter: Starter, django_db_blocker: DjangoDbBlocker, settings: Settings
) -> Iterator[Scenario]:
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    with django_db_blocker.unblock():
        yield Scenario(installation, starter, {"agents": AGENTS, "entry_points": {"report": REPORT}})


@contextmanager
def inside(scenario: Scenario) -> Iterator[App]:
    with scenario.installation.inside(), in_app("default") as app:
        yield app


def trigger(scenario: Scenario) -> Task:
    with inside(scenario) as app:
        made = lifecycle.trigger(app, EntryPoint.objects.get(name="report"), by="anna")
        return Task.objects.get(pk=made.task)


def runs(scenario: Scenario, task: Task) -> None:
    def look() -> bool:
        with inside(scenario):
            there = list(Task.objects.filter(agent="resting", status=TaskStatus.RUNNING).values_list("pk", flat=True))
        assert len(there) <= 1
        return there == [task.pk]

    scenario.wait_for(look, "it runs")


def stopped(scenario: Scenario, task: Task) -> None:
    with inside(scenario):
        assert Task.objects.get(pk=task.pk).status == TaskStatus.CANCELLED
    scenario.wait_for(lambda: not scenario.complaints(), "the invariants hold")


@pytest.mark.sampled("postgresql")
def test_a_process_that_is_killed_while_it_replaces_has_changed_nothing(replacing: Scenario) -> None:
    first = trigger(replacing)
    replacing.start_host("one")
    runs(replacing, first)
    replacing.arm(Point.REPLACEMENT_WRITES, "kill")
    died = replacing.installation.fork(
        replacing.starter, "shell", "-c", TRIGGER, log=replacing.log, HECTOR_FAULT=replacing.faults[0]
    )
    assert died.wait(30) == -9
    with inside(replacing):
        assert Task.objects.get(pk=first.pk).cancel_requested_at is None and Firing.objects.count() == 1
    second = trigger(replacing)
    runs(replacing, second)
    stopped(replacing, first)


@pytest.mark.parametrize(
    "place",
    [
        (Point.RUN_ENDED, 2),  # the first one to come there is that of the task that every scenario has
        (Point.SETTLEMENT_WRITES, 2),
        (Point.SETTLEMENT_WRITTEN, 2),
        (Point.CLAIMED, 3),
        (Point.BEGUN, 3),
    ],
    ids=lambda place: f"{place[0]}-{place[1]}",
)
@pytest.mark.sampled()
def test_a_worker_that_is_killed_between_the_stop_of_the_old_and_the_start_of_the_new_task(
    replacing: Scenario, place: tuple[Point, int]
) -> None:
    fault = replacing.arm(place[0], "kill", visit=place[1])
    replacing.start_host("one")
    replacing.rested()
    first = trigger(replacing)
    runs(replacing, first)
    second = trigger(replacing)
    replacing.reached(fault)
    runs(replacing, second)
    stopped(replacing, first)
