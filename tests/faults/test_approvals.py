"""A process is killed at each write about approvals: what is asked, decided, granted, and comes due.

After each: what people let run has run once, its result stands at its own call, nobody is asked twice about the same,
and the invariants hold. (`test_deciding` has the other faults.)
"""

from __future__ import annotations

from collections import Counter

import pytest

from apps.approvals import lifecycle as approvals
from apps.approvals.errors import AlreadyDecided
from apps.approvals.models import Approval, Grant
from apps.queue.faults import Point
from apps.tasks.models import TaskStatus
from tests.faults.asking import HURRIED, decides, goes_on_to_its_end, inside, open_ones
from tests.faults.scenario import Scenario
from tests.support.people import ANNA

Place = tuple[Point, int]  # a point, and which time that a process comes to it
# The worker asks about the first answer's two calls, about the second one's call, and about the limit.
BY_THE_WORKER: list[Place] = [
    *((Point.APPROVAL_WRITES, visit) for visit in (1, 2, 3)),
    (Point.TOOL_STARTS, 1),
    (Point.TOOL_ENDED, 1),
]
BY_WHO_DECIDES: list[Place] = [
    (Point.DECISION_WRITES, 1),
    (Point.GRANT_WRITES, 1),
    (Point.RESUME_WRITES, 1),
    (Point.DECISION_WRITTEN, 1),
]
IN_TIME: list[Place] = [(Point.DUE_WRITES, visit) for visit in (1, 2, 3)]  # reminder, escalation, expiry
POINTS = {point for point, _ in [*BY_THE_WORKER, *BY_WHO_DECIDES, *IN_TIME]}
IN_MAKE_TEST = {
    (Point.TOOL_STARTS, 1): "sqlite",
    (Point.RESUME_WRITES, 1): "postgresql",
    (Point.DECISION_WRITTEN, 1): "sqlite",
    (Point.DUE_WRITES, 2): "postgresql",
}


def each(places: list[Place]) -> pytest.MarkDecorator:
    def marks(place: Place) -> pytest.MarkDecorator:
        return pytest.mark.sampled(*([IN_MAKE_TEST[place]] if place in IN_MAKE_TEST else []))

    return pytest.mark.parametrize(
        "place", [pytest.param(place, id=f"{place[0]}-{place[1]}", marks=marks(place)) for place in places]
    )


@each(BY_THE_WORKER)
def test_a_worker_that_is_killed_while_it_asks_or_does_what_was_approved(asking: Scenario, place: Place) -> None:
    fault = asking.arm(place[0], "kill", visit=place[1])
    asking.start_host("one")
    goes_on_to_its_end(asking)
    asking.reached(fault)


@each(BY_WHO_DECIDES)
def test_a_process_that_is_killed_while_somebody_decides(asking: Scenario, place: Place) -> None:
    asking.start_host("one")
    found = asking.wait_for(lambda: open_ones(asking), "it asks")
    decides(asking, found["question"])  # the other decision is then the one with which the task goes on
    asking.arm(place[0], "kill")
    command = ("approve", str(found["tool_call"].pk), "--for-task")
    died = asking.installation.fork(asking.starter, *command, log=asking.log, HECTOR_FAULT=asking.faults[0])
    assert died.wait(30) == -9
    with inside(asking) as (app, task):
        approval = Approval.objects.select_related("task").get(pk=found["tool_call"].pk)
        if place[0] == Point.DECISION_WRITTEN:
            with pytest.raises(AlreadyDecided):
                approvals.decide(app, approval, "approve", by=ANNA)
        else:
            assert (approval.status, task.status) == ("open", TaskStatus.INPUT_REQUIRED)
            assert not approval.decisions.exists() and not Grant.objects.exists()
    goes_on_to_its_end(asking)


@pytest.mark.parametrize("policy", [HURRIED], ids=["hurried"])
@each(IN_TIME)
def test_a_worker_that_is_killed_while_something_comes_due(asking: Scenario, place: Place) -> None:
    fault = asking.arm(place[0], "kill", visit=place[1])
    asking.start_host("one")
    goes_on_to_its_end(asking, "tool_call")
    asking.reached(fault)
    with inside(asking) as (_, task):
        told = Counter(task.events.filter(payload__tool="refund").values_list("type", "payload__call"))
    assert set(told.values()) == {1}, told
    for name in ("requested", "escalated", "expired"):  # reminders come too late where starting anew takes long
        assert {("approval_" + name, key) for key in ("tool:1:call_0_0", "tool:2:call_1_0")} <= told.keys()
