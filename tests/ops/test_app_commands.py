"""`hector suspend_app`, `resume_app` and `delete_app`, as an operator sees them."""

from __future__ import annotations

from typing import Any

import pytest

from apps.queue.models import Hold
from apps.tenancy import lifecycle
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


@pytest.mark.parametrize("command", ["suspend_app", "resume_app", "delete_app"])
def test_an_app_that_is_not_there_is_one_sentence(command: str, db: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, command, "nobody") == (1, "", "there is no App nobody\n")


def test_an_app_is_deleted_once_its_name_is_written(
    db: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lifecycle.create("shop", by="tests")
    monkeypatch.setattr("builtins.input", lambda prompt: "sho")
    assert run(capsys, "delete_app", "shop")[:2] == (1, "")
    assert App.objects.filter(name="shop").exists()
    assert run(capsys, "delete_app", "shop", "--yes")[:2] == (0, "The App shop is deleted.\n")
    assert not App.objects.filter(name="shop").exists()


def test_the_default_app_is_not_deleted(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, said = run(capsys, "delete_app", "default", "--yes")
    assert (code, said) == (1, "the App default is always there and cannot be deleted\n")


def test_the_installations_limit_is_told_and_changed(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    free = "The installation runs as many tasks at a time as fit; 0 are running.\n"
    assert run(capsys, "limit")[:2] == (0, free)
    assert run(capsys, "limit", "7", "--reason", "a small machine")[1] == (
        "The installation runs 7 at a time; 0 are running.\n"
    )
    assert run(capsys, "limit", "none")[1] == free
    for wrong in ("0", "many"):
        assert run(capsys, "limit", wrong)[::2] == (2, f"{wrong} is no number of tasks: write 1 or more, or none.\n")


def test_the_limits_of_an_app_are_said_and_changed(app: App, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "limit_app", "acme")[:2] == (0, "The App acme has no limits.\n")
    done = run(capsys, "limit_app", "acme", "tasks=5/366d", "cost_usd=2.5/366d:ask", "--reason", "a trial")
    assert done[0] == 0 and "5 tasks per 366d: 0 used, until 20" in done[1]
    assert "$2.5 per 366d: 0 used, until 20" in done[1] and done[1].endswith("; then: ask\n")
    assert "tasks per" not in run(capsys, "limit_app", "acme", "tasks=none")[1]
    code, _, said = run(capsys, "limit_app", "acme", "tasks=5", "wishes=3/1m")
    assert code == 2 and "'5' is no limit: write a number" in said and "There is no such field." in said
    assert App.objects.get(name="acme").limits.keys() == {"cost_usd"}
