"""The list of tasks, the page of one, and what can be done there."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.console.why import sentence as sentence_of
from apps.queue import control
from apps.queue.models import QueueEntry, Worker
from apps.tasks import journal, lifecycle
from apps.tasks.errors import TaskError
from apps.tasks.journal import Change, NewCheckpoint
from apps.tasks.models import Checkpoint, Task, TaskStatus
from apps.tenancy.models import App
from tests.support import agents
from tests.support.transitions import settle, start
from tests.support.work import wait_for, working

Read = Callable[[str], str]
HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"


def why(page: str) -> str:
    found = re.search(r'id="why">(.*?)</p>', page, re.DOTALL)
    assert found
    return html.unescape(re.sub(r"<[^>]+>", "", found[1])).strip()


def page_of(task: Task) -> str:
    return f"/admin/tasks/{task.pk}/"


def failed(app: App, worker: Worker, value: Any = "hello", message: str = "it broke", **error: Any) -> Task:
    task = agents.submit(app, "echo", value)
    run = start(app, worker)
    assert run
    settle(app, run, journal.fail(run, TaskError("broken", message, **error)))
    task.refresh_from_db()
    return task


# --- The sentence -------------------------------------------------------------------------------------------------
def test_without_a_worker_it_says_how_to_start_one(configured: App, read: Read) -> None:
    task = agents.submit(configured, "echo")
    assert why(read(page_of(task))) == "No worker has been seen yet: start one with hector worker."


def test_workers_that_fell_silent_are_told_from_none(configured: App, worker: Worker, read: Read) -> None:
    Worker.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=4, seconds=5))
    task = agents.submit(configured, "echo")
    assert why(read(page_of(task))) == "No worker has been seen for 4 minutes: start one with hector worker."


def test_a_waiting_task_says_whether_a_slot_is_free(configured: App, worker: Worker, read: Read) -> None:
    task = agents.submit(configured, "echo")
    assert why(read(page_of(task))) == "Waiting for a worker: 1 is alive, 2 of 2 slots free."
    for _ in range(2):
        agents.submit(configured, "echo")
    for _ in range(2):
        assert start(configured, worker)
    waiting = Task.objects.get(status=TaskStatus.PENDING)
    assert why(read(page_of(waiting))) == "Waiting for a worker: 1 is alive, all slots busy."


def test_a_paused_queue_says_why_it_is_paused(configured: App, worker: Worker, read: Read) -> None:
    control.pause(by="olga", reason="The database is being moved")
    task = agents.submit(configured, "echo")
    assert why(read(page_of(task))) == "The queue is paused: The database is being moved"


def test_a_task_between_attempts_says_when_it_goes_on_and_what_went_wrong(
    configured: App, worker: Worker, read: Read
) -> None:
    task = agents.submit(configured, "echo")
    run = start(configured, worker)
    assert run
    settle(configured, run, journal.retry_later(run, TaskError("busy", "too many requests", retryable=True), 12.5))
    assert why(read(page_of(task))) == "Next attempt in 12 s (2 of 3). The last one ended with: too many requests."


def test_a_scheduled_task_says_when_it_starts(configured: App, read: Read) -> None:
    task = agents.submit(configured, "echo", run_at=timezone.now() + timedelta(hours=2, seconds=30))
    assert why(read(page_of(task))) == "Starts in 2 h, as it was asked to."


def test_a_task_that_no_worker_could_begin_says_so(
    configured: App, transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("a fault of Hector's own")

    monkeypatch.setattr(lifecycle, "begin", broken)
    task = agents.submit(configured, "echo")
    with working():
        wait_for(lambda: QueueEntry.objects.get().state == QueueEntry.State.SCHEDULED, what="it is put off")
        sentence = re.sub(r"<[^>]+>", "", sentence_of(configured, task))
    assert re.fullmatch(r"A worker took it and could not begin; .* Another try in (2\d|30) s\.", sentence), sentence


def test_a_running_task_says_where_and_what_it_is_asked_to_do(configured: App, worker: Worker, read: Read) -> None:
    task = agents.submit(configured, "echo")
    start(configured, worker)
    assert why(read(page_of(task))).startswith(f"Running on {worker}: attempt 1 of 3, started ")
    lifecycle.cancel(configured, task, by="olga")
    assert why(read(page_of(task))).startswith("Being cancelled: its worker was asked to stop")


def test_a_failed_task_says_what_broke_it_and_a_cancelled_one_who_and_why(
    configured: App, worker: Worker, read: Read
) -> None:
    task = failed(configured, worker)
    sentence = why(read(page_of(task)))
    assert sentence.endswith("after 1 attempt: it broke. It was not tried again, since that would not help.")
    other = agents.submit(configured, "echo")
    lifecycle.cancel(configured, other, by="olga", reason="wrong customer")
    assert re.fullmatch(r"Cancelled by olga .*: wrong customer", why(read(page_of(other))))


# --- The page -----------------------------------------------------------------------------------------------------
def test_what_people_tools_and_models_wrote_is_text_and_never_markup(
    configured: App, worker: Worker, read: Read
) -> None:
    task = agents.submit(
        configured, "echo", HOSTILE, session=HOSTILE, tags=[HOSTILE], metadata={HOSTILE: HOSTILE}, entry_point=HOSTILE
    )
    run = start(configured, worker)
    assert run
    parts = [
        {"part_kind": "user-prompt", "content": HOSTILE},
        {"part_kind": "tool-call", "tool_name": HOSTILE, "tool_call_id": HOSTILE, "args": HOSTILE},
        {"part_kind": "of tomorrow", "content": {HOSTILE: 1}},
    ]
    value = {"messages": [{"kind": "request", "parts": parts}]}
    journal.commit(configured, [Change(run, [NewCheckpoint(Checkpoint.Kind.MODEL, "model:1", value)])])
    settle(configured, run, journal.fail(run, TaskError("broken", HOSTILE, traceback=HOSTILE)))
    for path in ("/admin/", "/admin/tasks/", page_of(task), page_of(task) + "retry/", page_of(task) + "fork/"):
        page = read(path)
        assert "alert(" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page


def test_the_page_shows_input_output_timeline_attempts_and_usage(configured: App, worker: Worker, read: Read) -> None:
    task = agents.submit(configured, "echo", {"order": 17}, tags=["night"], session="s-1")
    run = start(configured, worker)
    assert run
    settle(configured, run, journal.complete(run, {"answer": "forty-two"}))
    page = html.unescape(read(page_of(task)))
    for text in ('{"order": 17}', '{"answer": "forty-two"}', "Attempt 1 of 3", "by tests", "$0.00", "night"):
        assert text in page, text
    assert "/admin/tasks/?session=s-1" in page


def test_a_long_payload_is_folded_and_one_beyond_all_bounds_is_cut(configured: App, read: Read) -> None:
    task = agents.submit(configured, "echo", "word " * 30_000)
    page = read(page_of(task))
    assert "150,000 characters</summary>" in page
    assert "50,000 more characters are not shown here" in page


def test_a_page_on_show_is_renewed_only_when_something_changed(configured: App, console: Client) -> None:
    task = agents.submit(configured, "echo")
    version = re.search(r'data-live="(\w+)" data-ends="no"', console.get(page_of(task)).content.decode())
    assert version
    unchanged = console.get(page_of(task), headers={"X-Live": version[1]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")
    lifecycle.cancel(configured, task, by="olga")
    changed = console.get(page_of(task), headers={"X-Live": version[1]})
    assert changed.status_code == 200
    assert changed["X-Live-Ends"] == "yes"
    assert "Cancelled by" in changed.content.decode()
    assert "<html" not in changed.content.decode()


# --- Actions ------------------------------------------------------------------------------------------------------
def test_cancelling_says_what_it_will_do_does_it_and_keeps_the_reason(configured: App, console: Client) -> None:
    task = agents.submit(configured, "echo")
    assert "will not run" in console.get(page_of(task) + "cancel/").content.decode()
    answer = console.post(page_of(task) + "cancel/", {"app": "acme", "reason": "not needed"}, follow=True)
    assert "The task is cancelled." in answer.content.decode()
    event = task.events.get(type="execution_cancelled")
    assert (event.actor, event.payload["reason"]) == ("olga", "not needed")


def test_what_cannot_be_done_is_disabled_and_says_why(configured: App, worker: Worker, console: Client) -> None:
    task = failed(configured, worker)
    page = console.get(page_of(task)).content.decode()
    assert "It cannot be cancelled: it is failed already." in page
    assert f"{page_of(task)}cancel/" not in page
    answer = console.post(page_of(task) + "cancel/", {"app": "acme"})
    assert answer.status_code == 409
    assert "It cannot be cancelled" in answer.content.decode()


# --- The list -----------------------------------------------------------------------------------------------------
def test_every_number_is_that_of_the_list_that_it_leads_to(configured: App, worker: Worker, read: Read) -> None:
    for _ in range(2):
        failed(configured, worker)
    for _ in range(3):
        agents.submit(configured, "echo")
    for page in (read("/admin/"), read("/admin/tasks/"), read("/admin/agents/echo/")):
        links = re.findall(r'href="(/admin/tasks/\?[^"]*)"[^>]*>(?:(?!</a>).)*?number">(\d+)</span>', page, re.DOTALL)
        assert len(links) >= 5
        for address, number in links:
            assert read(html.unescape(address)).count("<tr data-row>") == int(number), address
    assert 'aria-label="2 failed tasks"' in read("/admin/agents/")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("agent=report", {"report"}),
        ("session=s-1", {"first"}),
        ("tag=night", {"first"}),
        ("tag=Night", set()),
        ("entry_point=hook", {"second"}),
        ("status=cancelled", {"second"}),
        ("status=pending&status=cancelled", {"first", "second", "report"}),
        ("created=1h", {"first", "second", "report"}),
        ("q=FIRST", {"first"}),
        ("q=%22quoted%22", {"second"}),
        ("q=nothing+like+it", set()),
        ("finished_after=2001-01-01T00:00:00Z", {"second"}),
        ("finished_before=2001-01-01T00:00:00Z", set()),
        ("status=nonsense&created=nonsense&finished_after=nonsense&before=nonsense", {"first", "second", "report"}),
    ],
)
def test_the_list_shows_what_the_address_says(query: str, found: set[str], configured: App, read: Read) -> None:
    agents.submit(configured, "echo", "the first one", session="s-1", tags=["night", "day"])
    second = agents.submit(configured, "echo", 'the second "quoted" one', entry_point="hook")
    agents.submit(configured, "report", {"text": "the report", "style": "short"})
    lifecycle.cancel(configured, second, by="olga")
    rows = html.unescape(read(f"/admin/tasks/?{query}")).split("<tr data-row>")[1:]
    assert {name for name in ("first", "second", "report") if any(f"the {name}" in row for row in rows)} == found


def test_a_task_is_found_by_the_beginning_of_its_id(configured: App, read: Read) -> None:
    task = agents.submit(configured, "echo")
    assert str(task.pk) in read(f"/admin/tasks/?q={str(task.pk)[:20]}")


def test_a_long_list_goes_on_page_by_page_and_back(configured: App, read: Read) -> None:
    made = [
        str(task.pk) for task in lifecycle.submit_many(configured, [lifecycle.NewTask("echo", "x")] * 120, by="olga")
    ]
    newest_first = made[::-1]

    def shown(page: str) -> list[str]:
        return re.findall(r'row-link" href="/admin/tasks/([0-9a-f-]+)/', page)

    def link(page: str, rel: str) -> str:
        found = re.search(rf'rel="{rel}" href="([^"]+)"', page)
        return "/admin/tasks/" + html.unescape(found[1]) if found else ""

    first = read("/admin/tasks/")
    second = read(link(first, "next"))
    third = read(link(second, "next"))
    assert shown(first) + shown(second) + shown(third) == newest_first
    assert not link(first, "prev")
    assert not link(third, "next")
    assert shown(read(link(third, "prev"))) == shown(second)


def test_a_list_of_more_than_a_thousand_is_counted_no_further(configured: App, read: Read) -> None:
    lifecycle.submit_many(configured, [lifecycle.NewTask("echo", "x")] * 1001, by="olga")
    assert '<span class="rail-number">1,000+</span>' in read("/admin/tasks/")


@pytest.mark.parametrize("path", ["/admin/", "/admin/tasks/", "/admin/agents/", "/admin/platform/queue/"])
def test_a_page_asks_no_more_questions_the_more_tasks_there_are(path: str, configured: App, read: Read) -> None:
    counts = []
    for number in (2, 40):
        lifecycle.submit_many(configured, [lifecycle.NewTask("echo", "x")] * number, by="olga")
        with CaptureQueriesContext(connection) as queries:
            read(path)
        counts.append(len(queries))
    assert counts[0] == counts[1]
