"""Another App's object does not exist."""

from __future__ import annotations

import pytest

from apps.tasks.models import Task
from apps.tenancy.context import in_app
from tests.api.conftest import Person
from tests.api.test_permissions import methods, routes


def test_an_outsider_finds_nothing_at_any_address_of_a_task(admin: Person, outsider: Person) -> None:
    task = admin.submits()
    walked = 0
    for path, entry in routes():
        if "<uuid:id>" not in path:
            continue
        for method in methods(entry):
            answer = outsider(method, "/" + path.replace("<uuid:id>", task["id"]), {} if method != "GET" else None)
            assert answer.status_code == 404, (method, path)
            walked += 1
    assert walked >= 6
    assert admin.get(f"/tasks/{task['id']}").json() == task, "and nothing has changed"


def test_an_outsider_sees_nothing_in_lists(admin: Person, outsider: Person) -> None:
    admin.submits(tags=["ours"])
    for query in ("", "?tag=ours", "?q=hello", "?agent=echo"):
        assert outsider.get(f"/tasks{query}").json()["results"] == []


def test_an_outsider_gets_no_event_stream(admin: Person, outsider: Person) -> None:
    task = admin.submits()
    answer = outsider.get(f"/tasks/{task['id']}/events", Accept="text/event-stream")
    assert answer.status_code == 404


def test_a_key_of_one_app_means_nothing_in_another(admin: Person, outsider: Person) -> None:
    body = {"agent": "echo", "input": "hello"}
    ours = admin.post("/tasks", body, Idempotency_Key="k-1").json()
    theirs = outsider.post("/tasks", body, Idempotency_Key="k-1")
    assert "Idempotency-Replayed" not in theirs.headers
    assert theirs.json()["id"] != ours["id"]


@pytest.mark.parametrize("field", ["tenant_id", "app", "app_id", "X-Hector-App", "schema_name"])
def test_no_field_of_a_body_chooses_the_app(admin: Person, field: str) -> None:
    answer = admin.post("/tasks", {"agent": "echo", "input": "hello", field: "globex"})
    assert answer.status_code == 400
    with in_app("globex"):
        assert not Task.objects.exists()


def test_an_apps_admin_is_no_operator_of_the_installation(admin: Person) -> None:
    for method, path in [
        ("GET", "/admin/apps"),
        ("GET", "/admin/apps/acme"),
        ("POST", "/admin/apps/acme/token"),
        ("PUT", "/admin/apps/acme/secrets/KEY"),
        ("PUT", "/admin/apps/globex/config"),
        ("DELETE", "/admin/apps/globex"),
        ("GET", "/admin/queue"),
    ]:
        assert admin(method, path).status_code == 403, (method, path)
