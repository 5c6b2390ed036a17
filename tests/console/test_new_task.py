"""Submitting a task from a form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.tasks.models import Task
from apps.tenancy.models import App

NEW = "/admin/tasks/new/"


def submit(console: Client, **fields: Any) -> Any:
    return console.post(NEW, {"app": "acme", **fields})


def test_an_agent_is_chosen_first(read: Callable[[str], str]) -> None:
    page = read(NEW)
    assert "Choose an agent" in page
    assert "Submit task" not in page
    assert "Submit task" in read(f"{NEW}?agent=echo")


def test_a_text_becomes_a_task(console: Client) -> None:
    answer = submit(console, agent="echo", input="  as it is\n", session="s-9", priority="3")
    task = Task.objects.get()
    assert answer["Location"] == f"/admin/tasks/{task.pk}/"
    assert (task.input, task.session, task.priority) == ({"text": "  as it is\n"}, "s-9", 3)
    assert task.events.get().actor == "olga"


def test_the_form_is_made_of_the_agents_schema(console: Client, read: Callable[[str], str]) -> None:
    page = read(f"{NEW}?agent=report")
    assert all(label in page for label in ("Your text", "Style", "Pages", "Draft", "Extra"))
    fields = {"input_text": "hello", "input_style": "long", "input_pages": "3", "input_extra": '{"a": [1]}'}
    submit(console, agent="report", **fields)
    assert Task.objects.get().input == {
        "text": "hello",
        "style": "long",
        "pages": 3,
        "draft": False,
        "extra": {"a": [1]},
    }


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"input_style": "long"}, "This field is required."),
        ({"input_text": "x", "input_style": "wide"}, "Select a valid choice"),
        ({"input_text": "x", "input_style": "long", "input_pages": "0"}, "greater than or equal to 1"),
        ({"input_text": "x", "input_style": "long", "input_extra": "{"}, "This is not JSON"),
        ({"input_text": "x", "input_style": "long", "input_extra": "[1]"}, "not of type &#x27;object&#x27;"),
        ({"input_text": "x", "input_style": "long", "priority": "urgent"}, "Enter a whole number."),
    ],
)
def test_what_does_not_fit_is_said_beside_what_was_written(
    fields: dict[str, str], complaint: str, console: Client
) -> None:
    answer = submit(console, agent="report", **fields)
    assert answer.status_code == 400
    assert complaint in answer.content.decode()
    assert not Task.objects.exists()


def test_an_agent_that_is_not_there_is_named(console: Client) -> None:
    answer = submit(console, agent="nobody", input="x")
    assert answer.status_code == 400
    assert "There is no agent nobody in this App." in answer.content.decode()


@pytest.mark.django_db(transaction=True)
def test_an_app_without_agents_says_what_to_do(console: Client, other_app: App) -> None:
    assert "This App has no agents yet." in console.get(f"{NEW}?app=globex").content.decode()
    assert "hector apply hector.yaml" in console.get("/admin/configuration/?app=globex").content.decode()
