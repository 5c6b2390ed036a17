"""A message's way from the event to its receiver, at each point of it: killed, frozen, cut off from the database
(in `make test-faults`; `make test` runs a sample).

After each the message has arrived; twice, with the same id, only where a process was lost after it had sent it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook

from apps.agents.config.apply import apply
from apps.queue.faults import Point
from apps.tenancy import lifecycle, secrets
from apps.tenancy.context import in_app
from apps.triggers.models import Delivery
from tests.faults import strikes
from tests.faults.scenario import DOCUMENT, Scenario
from tests.support.http_server import Answer, LocalServer
from tests.triggers.conftest import SECRET, hook

POINTS = [Point.OUTBOX_WRITES, Point.MESSAGE_SENT, Point.DELIVERY_WRITES]
SENT_BEFORE = {Point.MESSAGE_SENT, Point.DELIVERY_WRITES}


def everywhere(*sampled: str) -> pytest.MarkDecorator:
    """Runs a test at every point; `make test` does so on the engine that is named for each, if one is."""
    return pytest.mark.parametrize(
        "point",
        [
            pytest.param(point, id=str(point), marks=pytest.mark.sampled(engine))
            for point, engine in zip(POINTS, sampled, strict=True)
        ],
    )


@pytest.fixture
def receiver(scenario: Scenario) -> Iterator[LocalServer]:
    """Is told when the scenario's task has completed."""
    scenario.installation.env["HECTOR_HTTP_ALLOW"] = "127.0.0.1"
    with LocalServer(lambda _: Answer()) as server:
        with scenario.installation.inside():
            app = lifecycle.get("default")
            secrets.put(app, "HOOK", SECRET)
            apply(app, DOCUMENT | {"notifications": [hook(server.url, "execution_completed")]}, by="tests")
        yield server


def arrived(scenario: Scenario, receiver: LocalServer, *, times: set[int]) -> None:
    def delivered() -> bool:
        with scenario.installation.inside(), in_app("default"):
            return list(Delivery.objects.values_list("status", flat=True)) == ["delivered"]

    scenario.wait_for(delivered, "the message has arrived")
    scenario.wait_for(lambda: not scenario.complaints(), "the invariants hold")
    assert len(receiver.requests) in times
    assert len({request.headers["webhook-id"] for request in receiver.requests}) == 1
    for request in receiver.requests:
        message = Webhook(SECRET).verify(request.body, dict(request.headers))
        assert (message["type"], message["data"]["task"]) == ("execution_completed", str(scenario.task.pk))


@everywhere("postgresql", "sqlite", "postgresql")
def test_a_process_that_is_killed_loses_no_message(scenario: Scenario, receiver: LocalServer, point: Point) -> None:
    fault = scenario.arm(point, "kill")
    scenario.start_host("one")
    scenario.reached(fault)
    arrived(scenario, receiver, times={2} if point in SENT_BEFORE else {1})


@everywhere("", "postgresql", "")
def test_a_process_that_freezes_holds_no_message_up(
    scenario: Scenario, receiver: LocalServer, point: Point, on_postgresql: bool
) -> None:
    if point != Point.MESSAGE_SENT and not on_postgresql:
        pytest.skip("it holds SQLite's write lock, which nobody can take from it")
    fault = scenario.arm(point, "wait")
    scenario.start_host("one")
    frozen = scenario.freeze(fault)
    scenario.start_host("two", armed=False)
    times = {2} if point in SENT_BEFORE else {1}
    arrived(scenario, receiver, times=times)
    os.kill(frozen, signal.SIGCONT)
    scenario.wait_for(lambda: scenario.on_shift(frozen), "the process that woke up has started anew")
    arrived(scenario, receiver, times=times)


@everywhere("", "", "postgresql")
def test_a_connection_that_is_cut_costs_nothing(
    scenario: Scenario, receiver: LocalServer, point: Point, on_postgresql: bool
) -> None:
    if not on_postgresql:
        pytest.skip("SQLite has no connection that could be cut")
    fault = scenario.arm(point, "wait")
    scenario.start_host("one")
    strikes.cut(scenario, fault)
    arrived(scenario, receiver, times={1})
