"""Who may see what of the console: as the table says, and of each App only its own people."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern

from apps.accounts.models import User
from apps.accounts.permissions import PAGES, Caller, Role, may
from apps.console.site import site
from apps.console.urls import urlpatterns
from apps.queue.models import Worker
from apps.tasks import lifecycle
from apps.tasks.models import Task, TaskStatus
from apps.tenancy.context import in_app
from apps.tenancy.models import App, Membership
from tests.console.conftest import member
from tests.support import agents

OPEN = {"login"}  # what anybody may see
CHANGING = {
    "new_task",
    "task_cancel",
    "task_retry",
    "task_fork",
    "queue_pause",
    "queue_resume",
    "queue_limit",
    "agent_pause",
    "agent_resume",
    "app_pause",
    "app_resume",
    "app_settings",
    "app_limits",
    "app_suspend",
    "app_delete",
    "app_reactivate",
}
CHANGING |= {
    "invite",
    "new_link",
    "app_tokens",
    "token_revoke",
    "worker_drain",
    "letters_retry",
    "letters_discard",
    "operation_stop",
    "message_redeliver",
    "webhook_redeliver",
    "entry_point_run",
    "entry_point_pause",
    "entry_point_resume",
    "channel_redeliver",
    "channel_enable",
    "channel_test",
}
UNKNOWN = "00000000-0000-7000-8000-000000000001"
VALUES = {"<uuid:task_id>": UNKNOWN, "<str:name>": "nobody", "<int:number>": "1", "<path:object_id>": "1"}
VALUES |= {
    "<int:worker_id>": "1",
    "<int:content_type_id>": "1",
    "<id>": "1",
    "<slug:key>": "0",
    "<int:user_id>": "1",
    "<uuid:operation_id>": UNKNOWN,
    "<uuid:session_id>": UNKNOWN,
    "<uuid:delivery_id>": UNKNOWN,
}


def patterns() -> list[tuple[str, str]]:
    """Name and pattern of every page of the site, also of those that Django and Unfold bring."""
    found = []

    def walk(patterns: list[object], prefix: str) -> None:
        for entry in patterns:
            path = prefix + str(entry.pattern)  # type: ignore[attr-defined]
            if hasattr(entry, "url_patterns"):
                walk(entry.url_patterns, path)
                continue
            if not path.startswith("^") and "(?P" not in path:
                found.append((getattr(entry, "name", None) or path, f"/admin/{path}"))

    walk(site.get_urls(), "")
    return found


def addresses() -> list[tuple[str, str]]:
    """Name and address of every page of the site, where there is nothing."""
    found = []
    for name, path in patterns():
        for marker, value in VALUES.items():
            path = path.replace(marker, value)
        found.append((name, path))
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


def test_every_page_is_in_the_table_and_every_entry_is_a_page() -> None:
    names = {name for name, path in addresses() if "/" not in name} | {"app_list"}
    outside = {entry.name for entry in urlpatterns if isinstance(entry, URLPattern) and entry.name}
    assert names | outside - {"home", "inbox_logout"} == set(PAGES)


@pytest.mark.parametrize("role", list(Role))
def test_a_role_opens_just_the_pages_of_the_table(role: Role, client: Client, configured: App) -> None:
    client.force_login(member("mia", role, configured))
    who = Caller("mia", role)
    for name, path in addresses():
        if name in {"login", "logout"} or "/" in name:
            continue
        for method, wanted in PAGES[name].items():
            answer = client.generic(method, path)
            assert (answer.status_code == 403) != may(who, wanted), (name, method, answer.status_code)
        if "POST" not in PAGES[name]:
            assert client.post(path).status_code == 403, name
    assert not Task.objects.exists()


def test_a_page_leads_only_to_pages_that_the_role_opens(client: Client, configured: App, worker: Worker) -> None:
    """Of our own ones: there is no link that ends in a refusal."""
    for role in (Role.VIEWER, Role.OPERATOR, Role.ADMIN):
        client.force_login(member(f"mia-{role}", role, configured))
        for page in ("/admin/", "/admin/tasks/", "/admin/agents/", "/admin/agents/echo/", "/admin/dead-letters/"):
            text = client.get(page).content.decode()
            links = set(re.findall(r'href="(/(?:admin|approvals)/[^"#?]*)', text))
            assert len(links) > 4
            for link in links:
                assert client.get(link).status_code in (200, 302), (role, page, link)
                assert role != Role.VIEWER or "/new/" not in link


# --- Which App ----------------------------------------------------------------------------------------------------
@pytest.mark.django_db(transaction=True)
def test_a_person_sees_their_own_apps_and_no_other(client: Client, configured: App, other_app: App) -> None:
    task = agents.submit(configured, "echo")
    user = member("mia", "viewer", other_app)
    client.force_login(user)
    page = client.get("/admin/").content.decode()
    assert 'value="globex" selected' in page and "acme" not in page and 'value="default"' not in page
    for path in ("/admin/?app=acme", "/admin/?app=default", "/admin/?app=no-such", f"/admin/tasks/{task.pk}/"):
        assert client.get(path).status_code == 404, path
    Membership.objects.create(user=user, app=configured, role="viewer")
    assert client.get(f"/admin/tasks/{task.pk}/?app=acme").status_code == 200
    assert re.findall(r'<option value="([a-z]+)"', client.get("/admin/").content.decode()) == ["acme", "globex"]


@pytest.mark.django_db(transaction=True)
def test_no_app_stands_in_for_one_that_is_gone(client: Client, configured: App, other_app: App) -> None:
    user = member("mia", "viewer", configured)
    Membership.objects.create(user=user, app=other_app, role="viewer")
    client.force_login(user)
    first = client.get("/admin/tasks/")
    assert first.status_code == 409 and "Choose an App" in first.content.decode(), "of several, none was chosen yet"
    assert client.get("/admin/tasks/?app=acme").status_code == 200
    App.objects.filter(pk=configured.pk).update(status="suspended")
    answer = client.post("/admin/tasks/new/", {"agent": "echo", "input": "x"})
    assert answer.status_code == 409 and "The App acme is not there any more" in answer.content.decode()
    assert client.get("/admin/tasks/?app=acme").status_code == 404
    assert client.get("/admin/?app=globex").status_code == 200


def test_an_operator_whose_app_is_gone_chooses_another(console: Client) -> None:
    session = console.session
    session["app"] = "long-gone"
    session.save()
    page = console.get("/admin/")
    assert page.status_code == 409 and "long-gone" in page.content.decode()


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
