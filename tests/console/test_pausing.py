"""Pausing an agent or an App from its page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.queue import holds
from apps.queue.models import Hold
from apps.tenancy.models import App
from tests.support import agents

Read = Callable[[str], str]


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
