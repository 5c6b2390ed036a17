"""The page of events: what happened in the App, narrowed, and with what each event holds."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from uuid import uuid4

from django.test import Client

from apps.tasks.events import publish
from apps.tasks.lifecycle import NewTask, submit
from apps.tenancy.models import App
from tests.console.conftest import member

Read = Callable[[str], str]
PAGE = "/admin/events/"
ROW = 'data-label="Who"'
HOSTILE = "<script>alert('x')</script>"


def test_an_app_in_which_nothing_happened_says_so(read: Read) -> None:
    assert "Nothing has happened yet." in read(PAGE)


def test_events_are_narrowed_and_lead_to_their_task(configured: App, read: Read) -> None:
    task = submit(configured, NewTask(agent="echo", input="x", entry_point="nightly"), by="olga")
    publish("order_placed", {"order": 7}, by="shop")
    publish("order_paid", {}, by="shop", task=task.pk)
    page = read(PAGE)
    assert page.count(ROW) == 3 and "order_placed" in page and "nightly" in page
    assert page.count(f"/admin/tasks/{task.pk}/") == 2
    assert read(f"{PAGE}?type=custom").count(ROW) == 2
    assert read(f"{PAGE}?type=custom.order_paid").count(ROW) == 1
    assert read(f"{PAGE}?task={task.pk}").count(ROW) == read(f"{PAGE}?agent=echo").count(ROW) == 2
    assert read(f"{PAGE}?entry_point=nightly&type=state_changed").count(ROW) == 1
    for query in ("type=nothing", "task=x", f"task={uuid4()}", "agent=report", "entry_point=daily"):
        assert "No event matches." in read(f"{PAGE}?{query}")


def test_events_go_on_on_further_pages(configured: App, read: Read, console: Client) -> None:
    for number in range(51):
        publish(f"n{number}", {}, by="shop")
    first = read(PAGE)
    [older] = re.findall(r'rel="next" href="([^"]+)"', first)
    assert first.count(ROW) == 50
    assert read(html.unescape(older)).count(ROW) == 1
    for before in ("x", "-1", "9" * 30, "\u0663"):
        assert console.get(f"{PAGE}?before={before}").status_code == 404


def test_what_an_event_holds_is_text(configured: App, read: Read) -> None:
    publish("order_placed", {"note": HOSTILE}, by=HOSTILE)
    page = read(f"{PAGE}?agent={HOSTILE}") + read(PAGE)
    assert HOSTILE not in page and html.escape(HOSTILE) in page


def test_who_may_see_no_payloads_sees_no_data(configured: App, client: Client) -> None:
    publish("order_placed", {"card": "4242"}, by="shop")
    client.force_login(member("vera", "viewer", configured))
    page = client.get(PAGE).content.decode()
    assert "order_placed" in page and "4242" not in page
