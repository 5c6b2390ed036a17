"""Entry points in the console: how each is doing, pausing it, running it now."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.console.forms import PREFIX
from apps.tasks.models import Task
from apps.tenancy.models import App
from apps.triggers.entry_points import stillness
from apps.triggers.models import Firing
from tests.triggers.entry_points import entry, put

pytestmark = pytest.mark.sampled("sqlite")
Read = Callable[[str], str]
PAGE = "/admin/entry-points/"
NUMBER = f"{PREFIX}n"


@pytest.fixture(autouse=True)
def _entry_points(configured: App) -> None:
    put(
        configured,
        daily=entry(type="timer", cron="0 9 * * 1-5", timezone="Europe/Berlin", input="now", description="Reports"),
        order=entry("typed", type="manual"),
        letter=entry(input={"text": "{{ input.text }}"}),
    )


def test_each_says_how_it_is_doing(configured: App, console: Client, read: Read) -> None:
    page = read(PAGE)
    for said in ("Reports", "Fires next", "0 9 * * 1-5 (Europe/Berlin)", "Ready: started by manual", "Nothing yet"):
        assert said in page
    console.post(f"{PAGE}daily/run/", {"app": "acme"})
    assert "Started" in read(PAGE)
    stillness.pause_all(configured, by="anna", reason="month's end")
    page = read(PAGE)
    assert "all were paused by anna" in page and "Paused with all timers" in page and "Fires next" not in page


def test_it_is_paused_for_a_reason_and_resumed(console: Client, read: Read) -> None:
    assert "starts nothing from then on" in read(f"{PAGE}order/pause/")
    console.post(f"{PAGE}order/pause/", {"app": "acme", "reason": "sold out"})
    assert "sold out" in read(PAGE)
    assert "is paused; resume it first" in read(f"{PAGE}order/run/")
    answer: Any = console.post(f"{PAGE}order/run/", {"app": "acme", NUMBER: "1"})
    assert answer.status_code == 409
    console.post(f"{PAGE}order/resume/", {"app": "acme"})
    assert "sold out" not in read(PAGE)
    assert console.post(f"{PAGE}order/resume/", {"app": "acme"}).status_code == 409


def test_it_is_run_now_with_a_form_made_of_the_agents_schema(console: Client, read: Read) -> None:
    form = read(f"{PAGE}order/run/")
    assert f'name="{NUMBER}"' in form
    assert console.post(f"{PAGE}order/run/", {"app": "acme", NUMBER: "many"}).status_code == 400
    answer: Any = console.post(f"{PAGE}order/run/", {"app": "acme", NUMBER: "3"})
    task = Task.objects.get()
    assert answer["Location"] == f"/admin/tasks/{task.pk}/"
    assert (task.input, task.entry_point, Firing.objects.get().cause) == ({"n": 3}, "order", "manual")


def test_a_template_that_cannot_use_the_input_says_so(console: Client) -> None:
    answer: Any = console.post(f"{PAGE}letter/run/", {"app": "acme", "input": "{}"})
    assert answer.status_code == 400 and "asks for what is not there" in answer.content.decode()
    assert console.post(f"{PAGE}letter/run/", {"app": "acme", "input": '{"text": "hi"}'}).status_code == 302


def test_what_is_not_there_is_not_found(console: Client) -> None:
    for verb in ("run", "pause", "resume"):
        assert console.post(f"{PAGE}nobody/{verb}/").status_code == 404
