"""What starts work by itself, killed on its way: from an event to the reaction, from a request to its answer
(in `make test-faults`; `make test` runs a sample).

After each there is one task, however often the event or the request was handed over.
"""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any

import pytest

from apps.agents.config.apply import apply
from apps.queue.faults import Point
from apps.tasks.models import Event, Task
from apps.tenancy import lifecycle, secrets
from apps.tenancy.context import in_app
from apps.triggers.models import Firing, WebhookDelivery
from tests.faults.scenario import DOCUMENT, Scenario
from tests.ops.processes import free_port, healthy
from tests.triggers.webhooks import KEY, github

REACTION = {"agent": "agent", "trigger": {"type": "event", "event_types": ["execution_completed"]}}
HOOK = {"type": "webhook", "path": "/hook", "secret": "${secret:HOOK}", "signature": "github"}

POINTS = {Point.REACTION_WRITES, Point.WEBHOOK_WRITES, Point.WEBHOOK_WRITTEN}  # met here, and not in the matrix


def at(*points: tuple[Point, str]) -> pytest.MarkDecorator:
    """Runs a test at these points; `make test` does so on the engine that is named for each, if one is."""
    return pytest.mark.parametrize(
        "point", [pytest.param(point, id=str(point), marks=pytest.mark.sampled(engine)) for point, engine in points]
    )


def configure(scenario: Scenario, **entry_points: Any) -> None:
    with scenario.installation.inside():
        app = lifecycle.get("default")
        secrets.put(app, "HOOK", KEY)
        apply(app, DOCUMENT | {"entry_points": entry_points}, by="tests")


@at((Point.OUTBOX_WRITES, ""), (Point.REACTION_WRITES, "postgresql"))
def test_an_event_has_one_reaction_whoever_dies_between(scenario: Scenario, point: Point) -> None:
    configure(scenario, after=REACTION)
    fault = scenario.arm(point, "kill")
    scenario.start_host("one")
    scenario.reached(fault)

    def reacted() -> bool:
        with scenario.installation.inside(), in_app("default"):
            return Task.objects.filter(status="completed").count() == 2

    scenario.wait_for(reacted, "the task and the reaction have completed")
    scenario.wait_for(lambda: not scenario.complaints(), "the invariants hold")
    with scenario.installation.inside(), in_app("default"):
        [reaction] = Task.objects.filter(entry_point="after")
        assert (reaction.caused_by, reaction.chain) == (scenario.task.pk, 1)
        assert [firing.task for firing in Firing.objects.all()] == [reaction.pk]
        assert not Event.objects.filter(unread=True).exists()


@at((Point.WEBHOOK_WRITES, "sqlite"), (Point.WEBHOOK_WRITTEN, ""))
def test_a_request_makes_one_task_whoever_dies_before_the_answer(scenario: Scenario, point: Point) -> None:
    configure(scenario, hook={"agent": "agent", "trigger": HOOK})
    fault, port = scenario.arm(point, "kill"), free_port()
    env = {"HECTOR_FAULT": scenario.faults[0], "HECTOR_WEB_PROCESSES": "1"}
    scenario.installation.fork(scenario.starter, "web", "--port", str(port), log=scenario.log, **env)
    scenario.wait_for(lambda: healthy(port), "the web server is healthy")
    with pytest.raises((http.client.HTTPException, OSError)):
        send(port)
    scenario.reached(fault)
    scenario.wait_for(lambda: healthy(port), "the web server is healthy again")
    status, said = send(port)
    assert status == 202
    with scenario.installation.inside(), in_app("default"):
        [task] = Task.objects.filter(entry_point="hook")
        [delivery] = WebhookDelivery.objects.all()
        assert said["task"] == str(task.pk) == str(delivery.task)
        assert delivery.repeats == (1 if point == Point.WEBHOOK_WRITTEN else 0)
        assert Firing.objects.count() == 1


def send(port: int) -> tuple[int, Any]:
    """The same delivery each time."""
    body = b'{"order": 7}'
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as server:
        server.request(
            "POST", "/webhooks/default/hook", body, {"Content-Type": "application/json", **github(body, "d-1")}
        )
        answer = server.getresponse()
        return answer.status, json.loads(answer.read())
