"""Who one is, and in which App."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.tenancy import lifecycle
from apps.tenancy.models import App
from apps.tenancy.tokens import issue_app_token
from tests.api.conftest import Person
from tests.support import environment

SECRET = environment.SECRETS["HECTOR_AUTH_SECRET"]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        f"Basic {SECRET}",
        SECRET,
        f"Bearer {SECRET}x",
        "Bearer ü€",
        "Bearer a.b.c",
        "Bearer eyJhbGciOiJub25lIn0.eyJ0ZW5hbnRfaWQiOiJhY21lIiwicm9sZSI6ImFkbWluIn0.",
    ],
)
def test_bad_credentials_are_401(world: None, header: str) -> None:
    nobody = Person(None, Authorization=header)
    answer = nobody.get("/tasks")
    assert (answer.status_code, answer["WWW-Authenticate"]) == (401, 'Bearer realm="Hector"')


def test_an_expired_token_is_401(world: None) -> None:
    late = Person(issue_app_token("acme", expires_in=timedelta(days=-1)))
    assert late.get("/tasks").status_code == 401


def test_an_altered_token_is_401(world: None) -> None:
    head, _, signature = issue_app_token("acme").split(".")
    _, other, _ = issue_app_token("globex").split(".")
    assert Person(f"{head}.{other}.{signature}").get("/tasks").status_code == 401


def test_the_token_decides_the_app_whatever_the_header_says(admin: Person, outsider: Person) -> None:
    task = admin.submits()
    assert outsider.get(f"/tasks/{task['id']}", X_Hector_App="acme").status_code == 404
    assert admin.get(f"/tasks/{task['id']}", X_Hector_App="globex").status_code == 200


def test_an_operator_names_the_app(admin: Person, platform: Person) -> None:
    task = admin.submits()
    assert platform.get(f"/tasks/{task['id']}").status_code == 200
    assert platform.get(f"/tasks/{task['id']}", X_Hector_App="globex").status_code == 404
    assert Person(SECRET).get(f"/tasks/{task['id']}").status_code == 404, "the App is `default` where none is named"


@pytest.mark.parametrize("name", ["nobody", "ü", "a" * 300, "../acme", "'; --"])
def test_an_app_that_is_not_there_is_named_as_the_fault(world: None, name: str) -> None:
    answer = Person(SECRET).get("/tasks", X_Hector_App=name)
    assert answer.status_code == 404 and "X-Hector-App" in answer.json()["detail"]


def test_a_token_of_a_deleted_app_is_403(world: None) -> None:
    app = lifecycle.create("shortlived", by="tests")
    person = Person(issue_app_token("shortlived"))
    assert person.get("/tasks").status_code == 200
    lifecycle.delete(app, by="tests")
    assert person.get("/tasks").status_code == 403


def test_a_token_of_a_suspended_app_is_403(admin: Person, platform: Person) -> None:
    App.objects.filter(name="acme").update(status=App.Status.SUSPENDED)
    assert admin.get("/tasks").status_code == 403
    assert platform.get("/tasks").status_code == 200, "an operator may look"


def test_the_connection_is_left_where_it_was(admin: Person, platform: Person) -> None:
    from apps.tenancy.connection import connection

    for path in ("/tasks", "/tasks/00000000-0000-7000-8000-000000000000", "/tasks?limit=0", "/admin/queue"):
        admin.get(path)
        platform.get(path)
        assert connection.schema_name == "public"


def test_the_console_session_reads_documents_and_nothing_else(world: None) -> None:
    user = User.objects.create_superuser("root", password="x")
    browser = Client(raise_request_exception=False)
    browser.force_login(user)
    for path in ("/schema", "/openapi.json", "/docs"):
        assert browser.get(path).status_code == 200, path
    assert browser.get("/tasks").status_code == 401
    assert browser.post("/admin/queue/pause").status_code == 401
