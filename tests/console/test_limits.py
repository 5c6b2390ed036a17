"""The page of limits and budgets, and that on which an operator changes an App's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from apps.quotas import counting, rules
from apps.quotas.counting import Spent
from apps.tenancy import lifecycle, tokens
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.console.conftest import member
from tests.support import agents

Read = Callable[[str], str]
pytestmark = pytest.mark.django_db(transaction=True)
PAGE = "/admin/limits/"
CHANGE = "/admin/platform/apps/acme/limits/"


def browser(name: str, app: App) -> Client:
    """Of a viewer of the App."""
    client = Client()
    client.force_login(member(name, "viewer", app))
    return client


def limit(console: Client, **texts: str) -> int:
    return console.post(CHANGE, {"app": "acme", **texts}).status_code


def test_without_limits_the_page_says_what_there_could_be(configured: App, read: Read) -> None:
    assert "This App has no limits of its own." in read(PAGE)


def test_an_operator_changes_limits_and_sees_what_is_used_by_whom(console: Client, configured: App, read: Read) -> None:
    assert limit(console, tasks="4/366d, 100000/1h", cost_usd="2.5/366d:ask") == 302
    assert lifecycle.get("acme").limits["cost_usd"] == [{"limit": 2.5, "window": 366 * 86400, "on_breach": "ask"}]
    assert 'value="4/366d, 100000/1h"' in read(CHANGE)
    app = lifecycle.get("acme")
    for _ in range(3):
        agents.submit(app, "echo")
    with in_app(app):
        counting.spend(app, [Spent("anna", "clerk", 100, rules.units("cost_usd", 2.25))])
    page = read(PAGE)
    assert "Tasks per 366d" in page and "3 of 4" in page and "3 of 100,000" in page
    assert "Nearly used up." in page and "$2.25 of $2.50" in page and "people raise it" in page
    assert all(f"<code>{name}</code>" in page for name in ("echo", "tests", "clerk", "anna"))
    assert "/admin/tasks/?agent=echo" in page
    agents.submit(app, "echo")
    assert "Used up." in read(PAGE)
    refused = console.post("/admin/tasks/new/", {"app": "acme", "agent": "echo", "input": "hello"})
    assert "The task was not accepted: the App may use 4 tasks per 366d" in refused.content.decode()


def test_what_is_no_limit_is_said_at_its_field(console: Client, configured: App) -> None:
    answer = console.post(CHANGE, {"app": "acme", "tasks": "many", "requests": "5/1m, 6/60s", "tokens": "5/1m:shout"})
    said = answer.content.decode()
    assert answer.status_code == 400 and lifecycle.get("acme").limits == {}
    assert "is no limit: write a number, / and a window, as in 100/1m" in said
    assert "Two limits have the same window." in said and "is not a valid choice" in said


def test_people_of_the_app_see_its_limits_and_cannot_change_them(console: Client, configured: App) -> None:
    assert limit(console, tasks="7/1h") == 302
    tokens.issue_app_token("acme", note="Night batch", limits={"tasks": [{"limit": 3, "window": 3600}]})
    viewer = browser("vera", configured)
    page = viewer.get(PAGE).content.decode()
    assert "0 of 7" in page and "0 of 3" in page and CHANGE not in page and "Night batch" not in page
    assert "Night batch" in console.get(PAGE).content.decode()
    assert viewer.get(CHANGE).status_code == 403
    assert "0 of 7" not in browser("otto", lifecycle.get("globex")).get(PAGE).content.decode()
