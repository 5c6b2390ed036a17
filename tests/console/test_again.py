"""Retrying and forking a task: the choice of where it goes on from, which says what it does before it is confirmed."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.test import Client

from apps.queue.models import Worker
from apps.tasks import forks, journal, lifecycle
from apps.tasks.errors import TaskError
from apps.tasks.journal import Change, NewCheckpoint
from apps.tasks.models import Checkpoint, Task, TaskStatus
from apps.tenancy.models import App
from tests.support import agents
from tests.support.transitions import fresh, settle, start

Kind = Checkpoint.Kind


def turn(number: int, *calls: tuple[str, str]) -> NewCheckpoint:
    parts = [{"part_kind": "tool-call", "tool_name": tool, "tool_call_id": call, "args": {}} for tool, call in calls]
    said = parts or [{"part_kind": "text", "content": "Done."}]
    message = {"kind": "response", "model_name": "gpt-5", "parts": said}
    return NewCheckpoint(Kind.MODEL, f"model:{number}", {"messages": [message]})


STORY = [  # numbered from 1
    turn(1, ("look_up", "a"), ("charge", "b")),
    NewCheckpoint(Kind.TOOL_RESULT, "tool:1:a", {"kind": "value", "value": "shipped"}),
    NewCheckpoint(Kind.TOOL_STARTED, "tool:1:b", {}),
    NewCheckpoint(Kind.TOOL_RESULT, "tool:1:b", {"kind": "value", "value": "charged"}),
    turn(2, ("send", "c")),
    NewCheckpoint(Kind.TOOL_STARTED, "tool:2:c", {}),
]


@pytest.fixture
def failed(configured: App, worker: Worker) -> Task:
    """It has looked something up and charged; while it sent something it failed."""
    task = agents.submit(configured, "echo", "first line\nsecond line")
    run = start(configured, worker)
    assert run
    journal.commit(configured, [Change(run, STORY)])
    settle(configured, run, journal.fail(run, TaskError("broken", "it broke")))
    return fresh(task)


def shown(page: str) -> str:
    """What the page says that the choice does."""
    found = re.search(r'name="planned" value="([^"]*)"', page)
    assert found
    return html.unescape(found[1])


def confirm(console: Client, task: Task, verb: str, origin: Any, **fields: Any) -> Any:
    """Chooses from where, reads what that does, and confirms it."""
    path = f"/admin/tasks/{task.pk}/{verb}/"
    plan = shown(console.get(f"{path}?from={origin}").content.decode())
    return console.post(path, {"app": "acme", "from": origin, "planned": plan, "input": text(task), **fields})


def text(task: Task) -> str:
    """The input as a browser sends it back, untouched."""
    return str(task.input["text"]).replace("\n", "\r\n")


def test_the_choice_lists_the_checkpoints_that_one_can_go_on_from(failed: Task, console: Client) -> None:
    for verb in ("retry", "fork"):
        page = console.get(f"/admin/tasks/{failed.pk}/{verb}/").content.decode()
        rows = re.findall(
            r'value="(\d+)" hx-get.*?point-number">(\d+)</span>.*?</span><span>([^<]*)</span>.*?<time', page
        )
        assert rows == [
            ("5", "5", "Model gpt-5 asked for send"),
            ("4", "4", "Tool charge answered"),
            ("2", "2", "Tool look_up answered"),
            ("1", "1", "Model gpt-5 asked for look_up, charge"),
        ]


@pytest.mark.parametrize(
    ("origin", "says"),
    [
        ("journal", "A person is asked first, since nobody knows whether they ran: send."),
        ("start", "It starts from the beginning."),
        ("5", "These calls run: send."),
        ("4", "The model is asked anew: one recorded answer is set aside."),
        ("1", "These calls run: look_up, charge. The model is asked anew"),
    ],
)
def test_each_choice_says_what_runs_again(failed: Task, console: Client, origin: str, says: str) -> None:
    page = console.get(f"/admin/tasks/{failed.pk}/retry/?from={origin}").content.decode()
    assert says in shown(page) and says in html.unescape(page.replace(f'value="{html.escape(says)}"', ""))
    part = console.get(f"/admin/tasks/{failed.pk}/retry/?from={origin}", headers={"HX-Request": "true"})
    assert shown(part.content.decode()) == shown(page) and b"<html" not in part.content


def test_nothing_is_done_before_the_person_was_told_what_the_choice_does(failed: Task, console: Client) -> None:
    path = f"/admin/tasks/{failed.pk}/retry/"
    told = shown(console.get(path).content.decode())
    for more in ({}, {"planned": told}, {"planned": "It starts from the beginning.", "show": ""}):
        answer = console.post(path, {"app": "acme", "from": "4", "input": text(failed), "reason": "mine", **more})
        page = answer.content.decode()
        assert answer.status_code == (200 if "show" in more else 409)
        assert "goes on after checkpoint 4" in shown(page) and 'value="mine"' in page
        assert re.search(r'value="4"[^>]* checked', page)
    assert fresh(failed).status == TaskStatus.FAILED


def test_a_task_is_retried_where_it_stopped(failed: Task, console: Client) -> None:
    confirm(console, failed, "retry", "journal", reason="again")
    assert (fresh(failed).status, failed.input) == (TaskStatus.PENDING, {"text": "first line\nsecond line"})
    assert failed.journal_start == 0
    assert failed.events.order_by("seq").last().payload["reason"] == "again"  # type: ignore[union-attr]


def test_a_task_is_retried_from_a_checkpoint(failed: Task, console: Client) -> None:
    answer = confirm(console, failed, "retry", 4)
    assert answer["Location"] == f"/admin/tasks/{failed.pk}/"
    assert list(failed.checkpoints.filter(set_aside=True).values_list("seq", flat=True)) == [5, 6]
    assert fresh(failed).input == {"text": "first line\nsecond line"}
    page = console.get(f"/admin/tasks/{failed.pk}/").content.decode()
    assert "from checkpoint 4" in page and page.count(", set aside") == 2


def test_a_task_is_retried_with_another_input(failed: Task, console: Client) -> None:
    confirm(console, failed, "retry", "start", input="other\r\nlines")
    assert (fresh(failed).input, failed.journal_start) == ({"text": "other\nlines"}, 6)


def test_going_on_where_it_stopped_does_not_drop_an_input_in_silence(failed: Task, console: Client) -> None:
    answer = confirm(console, failed, "retry", "journal", input="other")
    assert answer.status_code == 400 and "keeps the input" in answer.content.decode()
    assert fresh(failed).status == TaskStatus.FAILED


def test_an_input_that_is_no_json_is_refused_and_stays_in_the_form(configured: App, console: Client) -> None:
    task = agents.submit(configured, "echo", {"order": 1})
    lifecycle.cancel(configured, task, by="olga")
    path = f"/admin/tasks/{task.pk}/retry/"
    given = {"app": "acme", "from": "start", "planned": "It starts from the beginning."}
    refused = console.post(path, {**given, "input": "{no json"})
    assert refused.status_code == 400 and "{no json" in refused.content.decode()
    console.post(path, {**given, "input": '{"order": 2}'})
    assert (fresh(task).status, task.input) == (TaskStatus.PENDING, {"order": 2})


@pytest.mark.parametrize("origin", ["3", "99", "9" * 18])
def test_where_one_cannot_go_on_from_the_page_says_so(failed: Task, console: Client, origin: str) -> None:
    path = f"/admin/tasks/{failed.pk}/retry/"
    assert "is not one to go on from" in console.get(f"{path}?from={origin}").content.decode()
    answer = console.post(path, {"app": "acme", "from": origin, "planned": "", "input": text(failed)})
    assert answer.status_code == 400 and fresh(failed).status == TaskStatus.FAILED


def test_what_has_not_ended_cannot_be_retried_but_forked(configured: App, console: Client) -> None:
    task = agents.submit(configured, "echo")
    page = console.get(f"/admin/tasks/{task.pk}/").content.decode()
    assert "It cannot be retried: it has not ended." in page and f"/admin/tasks/{task.pk}/fork/" in page
    assert console.post(f"/admin/tasks/{task.pk}/retry/", {"app": "acme", "from": "journal"}).status_code == 409
    answer = confirm(console, task, "fork", "start")
    child = Task.objects.exclude(pk=task.pk).get()
    assert answer["Location"] == f"/admin/tasks/{child.pk}/"
    assert (child.forked_from_id, child.forked_at_checkpoint, child.input) == (task.pk, None, task.input)
    assert fresh(task).status == TaskStatus.PENDING


def test_a_fork_goes_on_from_a_checkpoint_with_another_input(failed: Task, console: Client) -> None:
    confirm(console, failed, "fork", 4, input="other", reason="what if")
    child = Task.objects.exclude(pk=failed.pk).get()
    assert (child.input, child.forked_at_checkpoint, child.last_checkpoint) == ({"text": "other"}, 4, 4)
    assert fresh(failed).status == TaskStatus.FAILED
    parent_page = console.get(f"/admin/tasks/{failed.pk}/").content.decode()
    assert f'href="/admin/tasks/{child.pk}/"' in parent_page and "from checkpoint 4: what if" in parent_page
    page = console.get(f"/admin/tasks/{child.pk}/").content.decode()
    assert f'href="/admin/tasks/{failed.pk}/"' in page and "Made as a fork" in page


def test_a_fork_may_have_the_newest_version_of_its_agent(failed: Task, configured: App, console: Client) -> None:
    page = console.get(f"/admin/tasks/{failed.pk}/fork/").content.decode()
    assert re.search(r'value="newest" disabled', page) and "The task has the newest version." in page
    newer = {"echo": agents.function("echo", description="A new one"), "report": agents.function("echo")}
    agents.apply(configured, agents.document(newer), by="olga")
    assert 'value="newest" disabled' not in console.get(f"/admin/tasks/{failed.pk}/fork/").content.decode()
    confirm(console, failed, "fork", "start", version="newest")
    confirm(console, failed, "fork", "start", version="pinned")
    pinned, newest = Task.objects.exclude(pk=failed.pk).order_by("-id")
    assert pinned.agent_version_id == failed.agent_version_id != newest.agent_version_id


def test_the_task_page_reads_its_checkpoints_to_people(failed: Task, configured: App, console: Client) -> None:
    page = console.get(f"/admin/tasks/{failed.pk}/").content.decode()
    for words in ("Tool send started", "Tool charge answered", "Model gpt-5 asked for look_up, charge"):
        assert words in page
    assert f"/retry/?from={4}" in page and "/retry/?from=3" not in page
    child = forks.fork(configured, failed, by="olga", from_checkpoint=4)  # without events of those calls
    assert "Tool charge answered" in console.get(f"/admin/tasks/{child.pk}/").content.decode()


def test_after_a_retry_a_call_is_named_by_the_turn_that_asked_for_it(
    failed: Task, configured: App, worker: Worker, console: Client
) -> None:
    lifecycle.retry(configured, failed, by="olga", new_input="other")
    run = start(configured, worker)
    assert run
    result = NewCheckpoint(Kind.TOOL_RESULT, "tool:1:a", {"kind": "value", "value": 1})
    journal.commit(configured, [Change(run, [turn(1, ("other_tool", "a")), result])])
    page = console.get(f"/admin/tasks/{failed.pk}/").content.decode()
    assert "Tool look_up answered" in page and "Tool other_tool answered" in page
