"""Who may see the console: platform operators, nobody else; and each App only its own."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.console.site import site
from apps.tasks import lifecycle
from apps.tasks.models import TaskStatus
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.support import agents

OPEN = {"login"}  # what anybody may see
CHANGING = {
    "new_task",
    "task_cancel",
    "task_retry",
    "task_fork",
    "queue_pause",
    "queue_resume",
    "agent_pause",
    "agent_resume",
    "app_pause",
    "app_resume",
    "app_settings",
    "app_suspend",
    "app_reactivate",
}
CHANGING |= {"app_tokens", "token_revoke", "worker_drain", "letters_retry", "letters_discard", "operation_stop"}
UNKNOWN = "00000000-0000-7000-8000-000000000001"
VALUES = {"<uuid:task_id>": UNKNOWN, "<str:name>": "nobody", "<int:number>": "1", "<path:object_id>": "1"}
VALUES |= {
    "<int:worker_id>": "1",
    "<int:content_type_id>": "1",
    "<id>": "1",
    "<slug:key>": "0",
    "<uuid:operation_id>": UNKNOWN,
}


def addresses() -> list[tuple[str, str]]:
    """Name and address of every page of the site, also of those that Django and Unfold bring."""
    found = []

    def walk(patterns: list[object], prefix: str) -> None:
        for entry in patterns:
            path = prefix + str(entry.pattern)  # type: ignore[attr-defined]
            if hasattr(entry, "url_patterns"):
                walk(entry.url_patterns, path)
                continue
            for marker, value in VALUES.items():
                path = path.replace(marker, value)
            if not path.startswith("^") and "(?P" not in path:
                found.append((getattr(entry, "name", None) or path, f"/admin/{path}"))

    walk(site.get_urls(), "")
    return found


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "path"), addresses())
def test_nobody_sees_a_page_without_logging_in(name: str, path: str, client: Client) -> None:
    answer = client.get(path)
    if name in OPEN:
        assert answer.status_code == 200
    else:
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/") or name == "logout"


@pytest.mark.parametrize(("name", "path"), addresses())
def test_staff_who_are_no_operators_see_nothing(name: str, path: str, client: Client, staff: User) -> None:
    client.force_login(staff)
    answer = client.get(path)
    assert answer.status_code == (200 if name in OPEN else 302)


def test_somebody_without_a_role_is_told_so_at_the_login(client: Client, staff: User) -> None:
    answer = client.post("/admin/login/", {"username": "stan", "password": "a good password"})
    assert "has no role in any App" in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_who_has_a_role_in_an_app_logs_in_and_arrives_at_its_approvals(
    configured: App, client: Client, approver: User
) -> None:
    answer: Any = client.post("/admin/login/", {"username": "anna", "password": "a good password"}, follow=True)
    assert [address for address, _ in answer.redirect_chain] == ["/", "/admin/", "/approvals/"]
    page = answer.content.decode()
    assert "<h1>Approvals</h1>" in page and "Approver in acme" in page
    assert "/admin/tasks/" not in page and "Queue and workers" not in page
    assert client.post("/approvals/logout/")["Location"] == "/admin/login/"
    assert "_auth_user_id" not in client.session


def test_a_role_in_an_app_opens_no_page_of_the_console(client: Client, approver: User, configured: App) -> None:
    client.force_login(approver)
    for name, path in addresses():
        answer = client.get(path)
        expected = {"index": "/approvals/", "logout": "/admin/"}.get(name, "/admin/login/")
        assert name in OPEN or (answer.status_code == 302 and answer["Location"].startswith(expected)), path
    assert "go to the" in client.get("/admin/login/?next=/admin/tasks/").content.decode()


def test_an_operator_logs_in_and_arrives_at_the_overview(configured: App, client: Client, operator: User) -> None:
    answer = client.post("/admin/login/?next=/admin/?app=acme", {"username": "olga", "password": "a good password"})
    assert answer["Location"] == "/admin/?app=acme"
    assert "<h1>Overview</h1>" in client.get(answer["Location"]).content.decode()


@pytest.mark.django_db
def test_the_root_leads_to_the_console(client: Client) -> None:
    assert client.get("/")["Location"] == client.get("/admin")["Location"] == "/admin/"


def test_no_model_of_an_app_and_none_of_the_queue_engine_can_be_edited() -> None:
    assert {model._meta.label for model in site._registry} == {"accounts.User"}


@pytest.mark.parametrize("name", sorted(CHANGING))
def test_what_changes_something_needs_the_forms_mark(
    name: str, console: Client, operator: User, configured: App
) -> None:
    task = agents.submit(configured, "echo")
    path = dict(addresses())[name].replace(VALUES["<uuid:task_id>"], str(task.pk))
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    answer = strict.post(path, {"app": "acme", "agent": "echo", "input": "x", "reason": "because"})
    assert answer.status_code == 403
    task.refresh_from_db()
    assert task.status == TaskStatus.PENDING


@pytest.mark.parametrize("verb", ["cancel", "retry", "fork"])
def test_looking_at_what_an_action_would_do_does_not_do_it(verb: str, console: Client, configured: App) -> None:
    task = agents.submit(configured, "echo")
    before = task.last_seq
    assert console.get(f"/admin/tasks/{task.pk}/{verb}/").status_code == 200
    task.refresh_from_db()
    assert (task.status, task.last_seq) == (TaskStatus.PENDING, before)


@pytest.mark.django_db(transaction=True)
def test_another_apps_task_does_not_exist(console: Client, configured: App, other_app: App) -> None:
    task = agents.submit(configured, "echo")
    for path in ("", "cancel/", "retry/", "fork/"):
        assert console.get(f"/admin/tasks/{task.pk}/{path}?app=acme").status_code == 200
        assert console.get(f"/admin/tasks/{task.pk}/{path}?app=globex").status_code == 404
    assert console.post(f"/admin/tasks/{task.pk}/cancel/", {"app": "globex"}).status_code == 404
    task.refresh_from_db()
    assert task.status == TaskStatus.PENDING


@pytest.mark.django_db(transaction=True)
def test_a_form_reaches_the_app_of_its_page_whatever_was_chosen_since(
    console: Client, configured: App, other_app: App
) -> None:
    console.get("/admin/?app=globex")
    console.post("/admin/tasks/new/", {"app": "acme", "agent": "echo", "input": "for acme"})
    with in_app("acme"):
        assert lifecycle.Task.objects.get().input == {"text": "for acme"}


@pytest.mark.django_db(transaction=True)
def test_the_chosen_app_is_kept_and_a_page_that_refreshes_itself_does_not_change_it(
    console: Client, configured: App, other_app: App
) -> None:
    assert 'value="globex" selected' in console.get("/admin/tasks/?app=globex").content.decode()
    console.get("/admin/tasks/?app=acme", headers={"X-Live": "before"})
    assert 'value="globex" selected' in console.get("/admin/tasks/").content.decode()


def test_an_app_that_is_not_there_is_not_found(console: Client) -> None:
    assert console.get("/admin/?app=no-such").status_code == 404
