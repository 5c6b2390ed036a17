"""The overview, agents, configuration, the platform's pages, people, and the pages for errors."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.accounts.permissions import Caller, Role
from apps.agents.config.apply import apply
from apps.queue.models import QueueControl, Worker
from apps.tasks import journal
from apps.tasks.models import Task
from apps.tenancy import people
from apps.tenancy.models import App
from tests.support import agents
from tests.support.transitions import settle, start

Read = Callable[[str], str]


def completed(app: App, worker: Worker) -> Task:
    task = agents.submit(app, "echo")
    run = start(app, worker)
    assert run
    settle(app, run, journal.complete(run, {"text": "done"}))
    return task


# --- Overview -----------------------------------------------------------------------------------------------------
def test_the_chart_counts_what_ended_by_minute_and_leads_there(configured: App, worker: Worker, read: Read) -> None:
    for _ in range(3):
        completed(configured, worker)
    page = read("/admin/")
    assert "over the last hour: 3 completed, 0 failed." in page
    bars = re.findall(r'<a href="([^"]+)" tabindex="-1"[^>]*><rect[^>]*data-state="completed"[^>]*><title>(\d+)', page)
    assert sum(int(number) for _, number in bars) == 3
    for address, number in bars:
        assert read(html.unescape(address)).count("<tr data-row>") == int(number)


def test_the_overview_names_the_oldest_task_that_waits(configured: App, read: Read) -> None:
    assert "No task waits for a worker." in read("/admin/")
    agents.submit(configured, "echo", "not due", run_at=timezone.now() + timedelta(hours=1))
    oldest = agents.submit(configured, "echo", "the oldest")
    agents.submit(configured, "echo", "a younger one")
    assert re.search(rf'Oldest waiting: <a href="/admin/tasks/{oldest.pk}/">echo: the oldest</a>', read("/admin/"))


def test_an_operator_learns_at_once_that_nobody_works(configured: App, read: Read) -> None:
    assert "No worker has been seen yet: start one with <code>hector worker</code>." in read("/admin/")
    Worker.objects.create(host="here", pid=1, version="1", slots=4)
    assert "start one with" not in read("/admin/")


# --- Agents and configuration -------------------------------------------------------------------------------------
def test_an_agents_page_tells_what_it_is_and_never_a_secret(configured: App, read: Read, settings: Any) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    models = {
        "main": {"provider": "openai", "model": "gpt-x", "api_key": "${secret:KEY}", "fallback": "other"},
        "other": {"provider": "scripted", "script": [{"text": "x"}]},
    }
    tools = {"look_up": agents.function_tool("look_up", idempotent=True, description="Finds an order")}
    clerk = {"llm": "main", "tools": ["look_up"], "instruction": "You are a clerk", "limits": {"wall_clock": "5m"}}
    apply(configured, agents.document({"clerk": clerk}, models, tools), by="olga")
    page = read("/admin/agents/clerk/")
    for text in ("You are a clerk", "look_up", "Finds an order", "gpt-x", "scripted", "5 min", "sha256:"):
        assert text in page, text
    assert "look_up" in read("/admin/agents/")


def test_an_agent_that_is_not_there_is_not_found(console: Client) -> None:
    assert console.get("/admin/agents/nobody/").status_code == 404


def test_the_configuration_shows_revisions_and_what_changed(configured: App, console: Client, read: Read) -> None:
    more = agents.document({"echo": agents.function("echo", description="Says it again")})
    apply(configured, more, by="otto", comment="One less")
    page = read("/admin/configuration/")
    for text in ("In force: revision 2", "by otto", "One less", "The first one", "hector apply hector.yaml --app acme"):
        assert text in page, text
    changed = read("/admin/configuration/diff/?a=2&b=1")
    assert '<span data-kind="added">+    description: Says it again</span>' in changed
    assert '<span data-kind="removed">-  report:</span>' in changed
    assert "report:" in read("/admin/configuration/1/")
    for path in ("3/", "diff/?a=1&b=3", "diff/?a=x&b=1", "diff/"):
        assert console.get(f"/admin/configuration/{path}").status_code == 404


# --- The platform -------------------------------------------------------------------------------------------------
def test_the_queue_page_shows_workers_and_what_waits_by_app(configured: App, worker: Worker, read: Read) -> None:
    Worker.objects.create(host="far", pid=7, version="1", slots=4, heartbeat_at=timezone.now() - timedelta(minutes=2))
    for _ in range(2):
        agents.submit(configured, "echo")
    start(configured, worker)
    page = read("/admin/platform/queue/")
    assert "1 worker is alive, 1 of 2 slots free." in page
    assert "far:7" in page
    assert "Silent" in page
    assert '?state=ready&amp;of=acme">1</a>' in page
    assert str(worker) in read("/admin/platform/queue/entries/?state=leased&of=acme")
    assert "There are none." in read("/admin/platform/queue/entries/?state=parked")


def test_the_queue_is_paused_for_a_reason_and_resumed(console: Client, read: Read) -> None:
    assert "No worker of any App claims anything" in read("/admin/platform/queue/pause/")
    console.post("/admin/platform/queue/pause/", {"reason": "Moving house"})
    assert QueueControl.objects.get().paused
    assert "Moving house" in read("/admin/platform/queue/")
    console.post("/admin/platform/queue/resume/")
    assert not QueueControl.objects.get().paused


def test_a_worker_is_drained_after_it_was_said_what_that_does(worker: Worker, console: Client, read: Read) -> None:
    path = f"/admin/platform/queue/workers/{worker.pk}/drain/"
    assert f'href="{path}"' in read("/admin/platform/queue/")
    assert "its place stays empty" in read(path)
    assert not Worker.objects.get().draining
    answer: Any = console.post(path, {"reason": "a new disk"}, follow=True)
    page = answer.content.decode()
    assert "claims nothing any more" in page and "Draining" in page and f'href="{path}"' not in page
    assert Worker.objects.get().draining
    again = console.post(path)
    assert again.status_code == 409 and "It is draining already." in again.content.decode()
    gone = console.post("/admin/platform/queue/workers/99999999999999999999/drain/")
    assert gone.status_code == 409 and "on shift" in gone.content.decode()


def test_the_apps_are_listed_with_what_they_have_queued(configured: App, read: Read) -> None:
    agents.submit(configured, "echo")
    page = read("/admin/platform/apps/")
    assert all(f"/admin/platform/apps/{name}/" in page for name in ("acme", "default", "globex"))
    assert '?state=ready&amp;of=acme">1</a>' in page
    assert "of the queue's fair share" in html.unescape(read("/admin/platform/apps/acme/"))


# --- People -------------------------------------------------------------------------------------------------------
def test_an_operator_makes_another_one(console: Client, read: Read) -> None:
    fields = {
        "username": "otto",
        "usable_password": "true",
        "password1": "Xy7-long-enough",
        "password2": "Xy7-long-enough",
    }
    console.post("/admin/accounts/user/add/", fields)
    otto = User.objects.get(username="otto")
    assert not otto.is_superuser
    change = f"/admin/accounts/user/{otto.pk}/change/"
    roles = {"memberships-TOTAL_FORMS": "0", "memberships-INITIAL_FORMS": "0"}
    console.post(change, {"username": "otto", "is_active": "on", "is_superuser": "on", **roles})
    otto.refresh_from_db()
    assert (otto.is_superuser, otto.is_staff, otto.check_password("Xy7-long-enough")) == (True, True, True)
    assert "otto" in read("/admin/accounts/user/")


def test_an_operator_gives_somebody_a_role_in_an_app(console: Client, app: App, staff: User, read: Read) -> None:
    change = f"/admin/accounts/user/{staff.pk}/change/"
    assert "memberships-TOTAL_FORMS" in read(change)
    role = {"memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "0"}
    role |= {"memberships-0-user": str(staff.pk), "memberships-0-app": str(app.pk), "memberships-0-role": "approver"}
    console.post(change, {"username": "stan", "is_active": "on", **role})
    assert people.caller(staff, app) == Caller("stan", Role.APPROVER, app_name="acme")
    App.objects.filter(pk=app.pk).update(status=App.Status.SUSPENDED)
    app.refresh_from_db()
    assert people.caller(staff, app) is None


# --- Errors -------------------------------------------------------------------------------------------------------
def test_a_page_that_is_not_there_says_so_in_the_products_words(console: Client) -> None:
    answer = console.get("/admin/nowhere/", headers={"Accept": "text/html"})
    assert answer.status_code == 404
    assert "There is nothing here" in answer.content.decode()


def test_a_refused_form_says_what_to_do(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    answer = client.post("/admin/platform/queue/pause/", headers={"Accept": "text/html"})
    assert answer.status_code == 403
    assert "This form was not accepted" in answer.content.decode()


def test_a_fault_shows_no_trace_of_itself(console: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("the inner workings")

    monkeypatch.setattr("apps.console.views.overview.workforce", broken)
    console.raise_request_exception = False
    answer = console.get("/admin/", headers={"Accept": "text/html"})
    assert answer.status_code == 500
    assert "Something went wrong here" in answer.content.decode()
    assert "inner workings" not in answer.content.decode()
