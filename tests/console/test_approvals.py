"""The page of what waits for a person; and pausing an agent or an App."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.approvals import lifecycle as approvals
from apps.approvals.choices import choices
from apps.approvals.models import Approval, Decision
from apps.queue import holds
from apps.queue.models import Hold
from apps.tasks.models import Task, TaskStatus
from apps.tenancy.models import App
from tests.support import agents
from tests.support.doubt import waiting
from tests.support.people import OTTO
from tests.support.transitions import fresh

Read = Callable[[str], str]


@pytest.fixture
def asked(configured: App) -> Task:
    return waiting(configured, keys=("tool:1:a", "tool:1:b"), agent="echo")


@pytest.fixture
def first(asked: Task) -> Approval:
    found = asked.approvals.order_by("id").first()
    assert found
    return found


def test_what_waits_is_listed_with_what_is_asked(asked: Task, first: Approval, read: Read) -> None:
    page = read("/approvals/")
    assert page.count("charge: did it run?") == 2
    assert f'href="/approvals/{first.pk}/"' in page and f'href="/admin/tasks/{asked.pk}/"' in page
    assert "{&quot;amount&quot;: 5}" in page


def test_an_approval_says_what_each_decision_does(first: Approval, read: Read) -> None:
    page = html.unescape(read(f"/approvals/{first.pk}/"))
    for text in ('{"amount": 5}', "may or may not have taken effect", "It ran", "Run it again", "Fail the task"):
        assert text in page, text
    for choice in choices(first).values():
        assert choice.does in page


def test_deciding_leads_on_and_the_task_goes_on_with_the_last_one(console: Client, asked: Task, read: Read) -> None:
    one, two = asked.approvals.order_by("id")
    answer = console.post(f"/approvals/{one.pk}/", {"decision": "ran", "answer": "charged", "comment": "I looked"})
    assert answer["Location"] == "/approvals/"
    assert "waits for 1 more decision." in read("/approvals/")
    console.post(f"/approvals/{two.pk}/", {"decision": "ran", "answer": '{"paid": 5}', "answer_is": "json"})
    assert "The task goes on." in read("/approvals/")
    assert fresh(asked).status == TaskStatus.PENDING
    assert list(Decision.objects.values_list("actor", "answer")) == [("olga", "charged"), ("olga", {"paid": 5})]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"decision": "ran", "answer": "  "}, "Give the result of the call"),
        ({"decision": "ran", "answer": "{oops", "answer_is": "json"}, "Nothing was decided."),
        ({"decision": "approve"}, "cannot be decided by"),
        ({}, "cannot be decided by"),
    ],
)
def test_what_cannot_be_decided_is_said_and_what_was_written_stays(
    console: Client, first: Approval, given: dict[str, str], says: str
) -> None:
    answer = console.post(f"/approvals/{first.pk}/", {"comment": "my comment", **given})
    page = html.unescape(answer.content.decode())
    assert answer.status_code == 400 and says in page and 'value="my comment"' in page
    assert not Decision.objects.exists()


def test_who_comes_second_is_told_who_was_first(console: Client, configured: App, first: Approval) -> None:
    approvals.decide(configured, first, "run_again", by=OTTO)
    answer = console.post(f"/approvals/{first.pk}/", {"decision": "fail"})
    page = answer.content.decode()
    assert answer.status_code == 409 and "run_again by otto" in page
    assert 'name="decision"' not in page


def test_arguments_are_text_whatever_they_hold(first: Approval, read: Read) -> None:
    Approval.objects.filter(pk=first.pk).update(arguments={"x": "<script>alert(1)</script>"}, tool="<b>tool</b>")
    for page in (read("/approvals/"), read(f"/approvals/{first.pk}/"), read(f"/admin/tasks/{first.task_id}/")):
        assert "<script>alert(1)" not in page and "<b>tool</b>" not in page


def test_a_task_says_whom_it_waits_for_and_every_page_how_many_do(asked: Task, first: Approval, read: Read) -> None:
    page = read(f"/admin/tasks/{asked.pk}/")
    assert "Waiting for a person, asked" in page and f'href="/approvals/{first.pk}/"' in page
    assert "Waits for a person" in page and "Asked about charge" in page
    assert "open approvals" in page


def test_nobody_without_a_role_sees_them(configured: App, asked: Task, first: Approval, staff: User) -> None:
    browser = Client()
    for path in ("/approvals/", f"/approvals/{first.pk}/"):
        assert browser.get(path)["Location"].startswith("/admin/login/")
    browser.force_login(staff)
    assert browser.post(f"/approvals/{first.pk}/", {"decision": "fail"}).status_code == 403
    assert fresh(asked).status == TaskStatus.INPUT_REQUIRED


def test_deciding_needs_the_forms_mark(operator: User, asked: Task, first: Approval) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(operator)
    assert strict.post(f"/approvals/{first.pk}/", {"app": "acme", "decision": "fail"}).status_code == 403
    assert fresh(asked).status == TaskStatus.INPUT_REQUIRED


@pytest.mark.django_db(transaction=True)
def test_another_apps_approvals_do_not_exist(console: Client, first: Approval, other_app: App) -> None:
    assert console.get(f"/approvals/{first.pk}/?app=acme").status_code == 200
    assert console.get(f"/approvals/{first.pk}/?app=globex").status_code == 404
    assert console.post(f"/approvals/{first.pk}/", {"app": "globex", "decision": "fail"}).status_code == 404
    assert b"did it run?" not in console.get("/approvals/?app=globex").content


# --- Pausing --------------------------------------------------------------------------------------------------------
def test_an_agent_is_paused_for_a_reason_and_resumed(console: Client, configured: App, read: Read) -> None:
    task = agents.submit(configured, "echo")
    assert "0 tasks run on to their end; 1 waits." in read("/admin/agents/echo/pause/")
    assert not Hold.objects.exists()
    console.post("/admin/agents/echo/pause/", {"app": "acme", "reason": "wrong prompt"})
    page = read("/admin/agents/echo/")
    assert "Paused by olga" in page and "wrong prompt" in page and "/admin/agents/echo/resume/" in page
    said = read(f"/admin/tasks/{task.pk}/")
    assert "Parked: the agent echo is paused, by olga" in said and "wrong prompt" in said
    console.post("/admin/agents/echo/resume/", {"app": "acme"})
    assert "Parked" not in read(f"/admin/tasks/{task.pk}/")


@pytest.mark.django_db(transaction=True)
def test_an_app_is_paused_and_its_agents_stay_so_until_it_is_resumed(
    console: Client, configured: App, read: Read
) -> None:
    task = agents.submit(configured, "echo")
    console.post("/admin/platform/apps/acme/pause/", {"app": "acme", "reason": "too costly"})
    assert "Paused by olga" in read("/admin/platform/apps/acme/")
    assert "Parked: the App acme is paused, by olga" in read(f"/admin/tasks/{task.pk}/")
    console.post("/admin/agents/echo/pause/", {"app": "acme", "reason": "mine"})
    answer: Any = console.post("/admin/agents/echo/resume/", {"app": "acme"}, follow=True)
    assert "but the whole App is paused" in answer.content.decode()
    console.post("/admin/platform/apps/acme/resume/", {"app": "acme"})
    assert holds.by_lane(configured) == {}


def test_what_is_not_there_is_not_paused(console: Client) -> None:
    assert console.post("/admin/agents/nobody/pause/").status_code == 404
    assert console.post("/admin/platform/apps/no-such/pause/").status_code == 404
