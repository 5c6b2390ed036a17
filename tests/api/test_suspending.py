"""Suspending an App: nothing of it starts, its API is closed, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.models import AuditRecord
from apps.queue.models import Hold, QueueEntry
from apps.tenancy.models import App
from tests.api.conftest import Person
from tests.support import agents, functions
from tests.support.work import wait_for, working


def status(person: Person, task: dict[str, Any]) -> str:
    found: str = person.get(f"/tasks/{task['id']}").json()["status"]
    return found


def suspend(platform: Person, reason: str = "") -> Any:
    return platform.patch("/admin/apps/acme", {"status": "suspended", "reason": reason})


def activate(platform: Person) -> Any:
    return platform.patch("/admin/apps/acme", {"status": "active"})


def test_the_api_of_a_suspended_app_answers_403_and_says_why(platform: Person, admin: Person, viewer: Person) -> None:
    task = admin.submits()
    assert suspend(platform).json()["status"] == "suspended"
    for answer in (
        admin.post("/tasks", {"agent": "echo", "input": "x"}),
        admin.get("/tasks"),
        viewer.get(f"/tasks/{task['id']}"),
    ):
        assert (answer.status_code, answer.json()["type"]) == (403, "urn:hector:problem:app_suspended")
        assert answer.json()["detail"] == "the App acme is suspended: its operator can say why"
    assert activate(platform).json()["status"] == "active"
    assert viewer.get(f"/tasks/{task['id']}").status_code == 200


def test_an_operator_looks_into_a_suspended_app_and_starts_nothing_in_it(platform: Person) -> None:
    task = platform.submits()
    suspend(platform)
    assert status(platform, task) == "pending"
    assert platform.post("/tasks", {"agent": "echo", "input": "x"}).status_code == 403
    assert platform.post(f"/tasks/{task['id']}/cancel").status_code == 403


def test_what_waits_goes_on_waiting_and_the_others_run(platform: Person, operator: Person, outsider: Person) -> None:
    waiting, later = operator.submits(), operator.submits(run_at="2031-01-01T00:00:00Z")
    suspend(platform)
    other = outsider.submits()
    with working():
        wait_for(lambda: status(outsider, other) == "completed", what="the other App's ran")
        assert (status(platform, waiting), status(platform, later)) == ("pending", "pending")
        activate(platform)
        wait_for(lambda: status(operator, waiting) == "completed", what="it goes on")
    assert QueueEntry.objects.get().state == "scheduled"


def test_what_runs_goes_on_to_its_end(platform: Person, operator: Person) -> None:
    agents.apply(App.objects.get(name="acme"), agents.document({"holder": agents.function("hold")}), by="tests")
    functions.release.clear()
    with working():
        task = operator.submits("holder")
        wait_for(lambda: status(operator, task) == "running", what="it runs")
        suspend(platform)
        functions.release.set()
        wait_for(lambda: status(platform, task) == "completed", what="it ended")


def test_a_pause_outlives_the_suspension(platform: Person, operator: Person) -> None:
    operator.submits()
    platform.post("/admin/apps/acme/pause", {"reason": "mine"})
    suspend(platform, "unpaid")
    activate(platform)
    assert operator.get("/agents/echo").json()["paused"]["reason"] == "mine"
    assert QueueEntry.objects.get().state == "parked"
    platform.post("/admin/apps/acme/resume")
    assert QueueEntry.objects.get().state == "ready"


def test_resuming_a_pause_does_not_end_the_suspension(platform: Person, operator: Person) -> None:
    operator.submits()
    platform.post("/admin/apps/acme/pause")
    suspend(platform)
    platform.post("/admin/apps/acme/resume")
    assert QueueEntry.objects.get().state == "parked"
    assert platform.get("/admin/apps/acme").json()["status"] == "suspended"


def test_it_is_done_once_however_often_it_is_asked_for(platform: Person) -> None:
    assert activate(platform).status_code == 200
    for reason in ("first", "second"):
        assert suspend(platform, reason).status_code == 200
    assert [hold.reason for hold in Hold.objects.all()] == ["second"]
    activate(platform)
    assert not Hold.objects.exists()


def test_who_did_what_to_the_app_and_why_is_in_its_audit_trail(platform: Person) -> None:
    suspend(platform, "unpaid")
    activate(platform)
    platform.patch("/admin/apps/acme", {"weight": 7, "display_name": "Acme & Co"})
    written = AuditRecord.objects.filter(app_name="acme", action__startswith="app_").order_by("id")
    assert list(written.values_list("action", "actor", "reason", "details")) == [
        ("app_suspended", "operator", "unpaid", {}),
        ("app_resumed", "operator", "", {}),
        ("app_changed", "operator", "", {"weight": 7, "display_name": "Acme & Co"}),
    ]


def test_what_is_being_deleted_is_neither_suspended_nor_changed(platform: Person) -> None:
    platform.post("/admin/apps", {"name": "going"})
    App.objects.filter(name="going").update(status=App.Status.DELETING)
    for change in ({"status": "suspended"}, {"weight": 7}):
        assert platform.patch("/admin/apps/going", change).status_code == 404
    found = App.objects.get(name="going")
    assert (found.weight, found.status) == (1, "deleting")


@pytest.mark.parametrize("value", ["deleting", "paused", "", None, 1])
def test_a_status_that_nobody_can_set_is_refused(platform: Person, value: Any) -> None:
    assert platform.patch("/admin/apps/acme", {"status": value}).status_code == 400
