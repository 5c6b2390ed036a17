"""A worker is killed after it has counted what an answer cost, before the commit: nothing is lost or counted twice."""

from __future__ import annotations

import pytest
from pytest_django import DjangoDbBlocker, Settings

from apps.queue.faults import Point
from apps.quotas.models import Use
from apps.tasks import budgets
from apps.tasks.models import Task, TaskStatus
from apps.tenancy.context import in_app
from tests.faults.scenario import Scenario
from tests.support.agents import call, one_llm_agent
from tests.support.installation import Installation
from tests.support.starter import Starter

DOCUMENT = one_llm_agent(
    call("look_up", order="7"),
    {"text": "All done."},
    tools={"look_up": {"type": "function", "handler": "tests.faults.programs.look_up", "idempotent": True}},
)


@pytest.mark.parametrize(
    "visit", [pytest.param(1, marks=pytest.mark.sampled("sqlite")), pytest.param(2, marks=pytest.mark.sampled())]
)
def test_what_is_counted_is_what_the_task_has_used(
    visit: int, installation: Installation, starter: Starter, django_db_blocker: DjangoDbBlocker, settings: Settings
) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    with django_db_blocker.unblock():
        scenario = Scenario(installation, starter, DOCUMENT)
        with installation.inside(), in_app("default") as app:
            budgets.set_limits(app, {"tokens": [{"limit": 10**6, "window": 366 * 86400, "on_breach": "wait"}]}, by="t")
        fault = scenario.arm(Point.USAGE_COUNTED, "kill", visit=visit)
        scenario.start_host("one")
        scenario.reached(fault)
        task = scenario.rested()
        assert task.status == TaskStatus.COMPLETED, task.error
        with installation.inside(), in_app("default"):
            usage = Task.objects.get(pk=task.pk).usage
            counted = dict(Use.objects.values_list("kind", "used"))
    assert counted == dict.fromkeys(("app", "caller", "agent"), usage["input_tokens"] + usage["output_tokens"])
