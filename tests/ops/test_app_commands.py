"""`hector suspend_app` and `resume_app`, as an operator sees them."""

from __future__ import annotations

from typing import Any

import pytest

from apps.queue.models import Hold
from apps.tenancy.models import App
from tests.agents.test_config_commands import run
from tests.support import agents

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_app_is_suspended_for_a_reason_and_goes_on(
    app: App, settings: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    agents.apply(app, agents.document({"echo": agents.function("echo")}), by="tests")
    agents.submit(app, "echo")
    done = run(capsys, "suspend_app", "acme", "--reason", "unpaid")
    assert done[:2] == (0, "The App acme is suspended: 0 tasks run on to their end; 1 waits.\n")
    hold = Hold.objects.get()
    assert (hold.actor, hold.reason, hold.cause) == ("command line", "unpaid", "suspension")
    assert run(capsys, "resume_app", "acme")[:2] == (0, "The App acme is active; 1 waits to be started.\n")
    assert App.objects.get(name="acme").status == "active"


@pytest.mark.parametrize("command", ["suspend_app", "resume_app"])
def test_an_app_that_is_not_there_is_one_sentence(command: str, db: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, command, "nobody") == (1, "", "there is no App nobody\n")
