"""A process is killed at each write about sessions (in `make test-faults`; `make test` runs a sample).

After each: every value was kept once, the task has added one turn, and it has begun with one and the same conversation.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_django import DjangoDbBlocker, Settings

from apps.queue.faults import Point
from apps.sessions import store
from apps.sessions.models import Session, Turn
from apps.tasks.models import Checkpoint, TaskStatus
from apps.tenancy.context import in_app
from tests.faults.scenario import Scenario
from tests.support.agents import call, one_llm_agent, submit
from tests.support.installation import Installation
from tests.support.starter import Starter

PLACES = [
    (Point.CHECKPOINT_WRITES, 1),  # what it has of its session
    (Point.STATE_WRITES, 1),
    (Point.STATE_WRITES, 2),
    (Point.TURN_WRITES, 1),
    (Point.SETTLEMENT_WRITTEN, 1),
]
POINTS = {Point.STATE_WRITES, Point.TURN_WRITES}
IN_MAKE_TEST = {(Point.STATE_WRITES, 2): "sqlite", (Point.TURN_WRITES, 1): "postgresql"}
KEEP = {"type": "function", "handler": "tests.faults.programs.keep", "idempotent": True}
DOCUMENT = one_llm_agent(
    call("keep", text="one"),
    call("keep", text="two"),
    {"text": "All done."},
    tools={"keep": KEEP},
    retry={"max_retries": 5, "initial_delay": "20ms", "max_delay": "50ms"},
)


@pytest.fixture
def in_session(
    installation: Installation, starter: Starter, django_db_blocker: DjangoDbBlocker, settings: Settings
) -> Iterator[Scenario]:
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    with django_db_blocker.unblock():
        yield Scenario(installation, starter, DOCUMENT, options={"session": "s"})


@pytest.mark.parametrize(
    "place",
    [
        pytest.param(
            place,
            id=f"{place[0]}-{place[1]}",
            marks=pytest.mark.sampled(*([IN_MAKE_TEST[place]] if place in IN_MAKE_TEST else [])),
        )
        for place in PLACES
    ],
)
def test_a_worker_that_is_killed_while_it_writes_to_a_session(in_session: Scenario, place: tuple[Point, int]) -> None:
    scenario = in_session
    fault = scenario.arm(place[0], "kill", visit=place[1])
    scenario.start_host("one")
    scenario.reached(fault)
    task = scenario.rested()
    assert (task.status, task.output) == (TaskStatus.COMPLETED, {"text": "All done."}), task.error
    with scenario.installation.inside(), in_app("default") as app:
        scenario.task = submit(app, "agent", "again", session="s")
    again = scenario.rested()
    assert again.status == TaskStatus.COMPLETED, again.error
    scenario.wait_for(lambda: not scenario.complaints(), "the invariants hold")
    with scenario.installation.inside(), in_app("default"):
        session = Session.objects.get()
        assert store.values(session) == {"kept": ["one", "two", "one", "two"]}
        assert (session.revision, session.turns_total) == (4, 2)
        assert list(Turn.objects.order_by("seq").values_list("seq", "task")) == [(1, task.pk), (2, again.pk)]
        begun = Checkpoint.objects.filter(kind="session").order_by("task")
        assert [(point.task_id, point.content["last"]) for point in begun] == [(task.pk, 0), (again.pk, 1)]
