"""GET /tasks: pages, filters and search."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from apps.tasks import lifecycle, search
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Task
from apps.tenancy.context import in_app
from tests.api.conftest import Person, pointers


def make(count: int, **fields: Any) -> list[str]:
    """The ids of new tasks, the newest first."""
    with in_app("acme") as app:
        new = NewTask("echo", fields.pop("input", "hello"), **fields)
        return [str(task.pk) for task in lifecycle.submit_many(app, [new] * count, by="tests")][::-1]


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [task["id"] for task in answer.json()["results"]]


def follow(person: Person, url: str | None) -> Any:
    assert url is not None
    parts = urlsplit(url)
    return person.get(f"{parts.path}?{parts.query}")


def test_pages_go_through_all_tasks_once_the_newest_first(viewer: Person) -> None:
    expected = make(7)
    answer, seen = viewer.get("/tasks?limit=3"), []
    while True:
        seen += ids(answer)
        if answer.json()["next"] is None:
            break
        answer = follow(viewer, answer.json()["next"])
    assert seen == expected


def test_pages_go_back_as_they_came(viewer: Person) -> None:
    expected = make(7)
    second = follow(viewer, viewer.get("/tasks?limit=3").json()["next"])
    third = follow(viewer, second.json()["next"])
    assert ids(third) == expected[6:]
    back = follow(viewer, third.json()["previous"])
    assert (ids(back), back.json()["next"]) == (expected[3:6], second.json()["next"])
    first = follow(viewer, back.json()["previous"])
    assert (ids(first), first.json()["previous"]) == (expected[:3], None)


def test_a_page_neither_repeats_nor_skips_while_tasks_come_and_go(viewer: Person) -> None:
    expected = make(6)
    first = viewer.get("/tasks?limit=3")
    make(4)
    with in_app("acme"):
        Task.objects.filter(pk=expected[2]).delete()  # the very one that the cursor names
    assert ids(follow(viewer, first.json()["next"])) == expected[3:]


def test_before_the_first_page_is_the_first_page(viewer: Person) -> None:
    expected = make(2)
    cursor = base64.urlsafe_b64encode(f"p{expected[0]}".encode()).decode().rstrip("=")
    answer = viewer.get(f"/tasks?cursor={cursor}")
    assert (ids(answer), answer.json()["previous"]) == (expected, None)


def test_links_keep_the_filters(viewer: Person) -> None:
    expected = make(3, session="s 1&x")
    make(2)
    first = viewer.get(f"/tasks?limit=2&session={quote('s 1&x')}&status=pending&status=failed")
    second = follow(viewer, first.json()["next"])
    assert ids(first) + ids(second) == expected and second.json()["next"] is None


@pytest.mark.parametrize(
    ("query", "faulty"),
    [
        ("limit=0", ["/limit"]),
        ("limit=201", ["/limit"]),
        ("limit=x", ["/limit"]),
        ("limit=" + "9" * 5000, ["/limit"]),
        ("cursor=nonsense", ["/cursor"]),
        ("cursor=%00", ["/cursor"]),
        ("cursor=" + base64.b64encode(b"nnot-an-id").decode(), ["/cursor"]),
        ("cursor=" + base64.b64encode(b"x0198c0de-0000-7000-8000-000000000000").decode(), ["/cursor"]),
        ("cursor=" + "A" * 501, ["/cursor"]),
        ("status=done", ["/status"]),
        ("status=", ["/status"]),
        ("agent=%00", ["/agent"]),
        ("q=%ff%00", ["/q"]),
        ("created_after=yesterday", ["/created_after"]),
        ("created_before=0000-00-00", ["/created_before"]),
        ("colour=red&staus=failed", ["/colour", "/staus"]),
    ],
)
def test_a_list_that_cannot_be_is_refused(viewer: Person, query: str, faulty: list[str]) -> None:
    answer = viewer.get(f"/tasks?{query}")
    assert (answer.status_code, pointers(answer)) == (400, faulty)


@pytest.mark.parametrize("path", ["/agents", "/admin/apps", "/admin/workers", "/admin/apps/acme/secrets"])
def test_every_list_refuses_a_cursor_that_is_not_its_own(platform: Person, path: str) -> None:
    assert platform.get(f"{path}?cursor=AAAA").status_code == 400
    assert set(platform.get(f"{path}?limit=1").json()) == {"results", "next", "previous"}


def test_filters_find_just_what_they_name(viewer: Person) -> None:
    with_tag = make(2, tags=['a "quoted" tag', "ü"])
    with_session = make(1, session="s-1")
    from_timer = make(1, entry_point="daily")
    with in_app("acme") as app:
        clerk = str(lifecycle.submit(app, NewTask("clerk", "hello"), by="tests").pk)
        Task.objects.filter(pk=from_timer[0]).update(status="running")
    everything = [clerk, *from_timer, *with_session, *with_tag]
    for query, expected in {
        f"tag={quote('ü')}": with_tag,
        "tag=a%20%22quoted%22%20tag": with_tag,
        "tag=quoted": [],
        "session=s-1": with_session,
        "entry_point=daily": from_timer,
        "agent=clerk": [clerk],
        "status=running": from_timer,
        "status=running&status=pending": everything,
        "status=running&agent=clerk": [],
        "created_after=2020-01-01T00:00:00Z&created_before=2999-01-01": everything,
        "created_before=2020-01-01T00:00:00Z": [],
    }.items():
        assert ids(viewer.get(f"/tasks?{query}")) == expected, query


def test_search_looks_into_input_and_output_and_knows_ids(viewer: Person) -> None:
    (order,) = make(1, input={"lines": [{"text": 'Grüße, 100% "sure"_'}]})
    (other,) = make(1, input="nothing")
    with in_app("acme"):
        Task.objects.filter(pk=other).update(output={"text": "Shipped on Monday"})
    for words, expected in {
        "Grüße": [order],
        "SURE": [order],
        '"sure"': [order],
        "100%": [order],
        "monday": [other],
        "_": [order],
        other: [other],
        other.upper(): [other],
        "nowhere": [],
        "\\": [],
    }.items():
        assert ids(viewer.get(f"/tasks?q={quote(words)}")) == expected, words


def test_search_reaches_the_newest_tasks_only(viewer: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TEXT_REACH", 2)
    beyond = make(1, input="needle", session="s-1")
    newest = make(1, input="needle")
    make(1, input="straw")
    assert ids(viewer.get("/tasks?q=needle")) == newest
    assert ids(viewer.get("/tasks?q=needle&session=s-1")) == beyond, "the newest of those that the rest leaves"
