"""A viewer sees no payloads in the console, unless allowed."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.approvals.models import Approval
from apps.tasks.models import Task
from apps.tenancy.models import App, Membership
from tests.console.conftest import member
from tests.support.planted import MARK, plant


def pages(tasks: list[Task]) -> list[str]:
    approval = Approval.objects.get()
    paths = ["/admin/", "/admin/tasks/", "/admin/dead-letters/", "/admin/dead-letters/letters/", "/approvals/"]
    paths += ["/admin/dead-letters/letters/?fingerprint=f", f"/approvals/{approval.pk}/", "/admin/agents/agent/"]
    paths += [f"/approvals/batch/?decision=approve&id={approval.pk}", "/approvals/?tab=decided", "/approvals/grants/"]
    return paths + [f"/admin/tasks/{task.pk}/" for task in tasks]


@pytest.mark.parametrize("live", [False, True])
def test_no_page_shows_a_payload_to_who_may_see_none(live: bool, configured: App, client: Client) -> None:
    tasks = plant(configured)
    client.force_login(member("vera", "viewer", configured))
    headers = {"X-Live": "before"} if live else {}
    for allowed in (False, True):
        Membership.objects.update(sees_payloads=allowed)
        answers = {path: client.get(path, headers=headers) for path in pages(tasks)}
        assert {path: answer.status_code for path, answer in answers.items() if answer.status_code != 200} == {}
        texts = {path: answer.content.decode() for path, answer in answers.items()}
        shown = [path for path, text in texts.items() if MARK in text]
        assert len(shown) >= 9 if allowed else shown == []


def test_nobody_guesses_a_payload_by_searching(configured: App, client: Client) -> None:
    tasks = plant(configured)
    client.force_login(member("vera", "viewer", configured))
    for guess in (MARK, "there-is-no-such-thing"):
        assert "No task matches" in client.get(f"/admin/tasks/?q={guess}").content.decode()
    assert f"/admin/tasks/{tasks[0].pk}/" in client.get(f"/admin/tasks/?q={tasks[0].pk}").content.decode()
