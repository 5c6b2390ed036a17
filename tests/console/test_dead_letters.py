"""The pages of dead letters: groups, letters, what an action would touch, and what became of it."""

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

from apps.queue.models import Worker
from apps.tasks import dead_letters, operations
from apps.tasks.dead_letters import LetterFilter
from apps.tasks.models import DeadLetter, Operation, TaskStatus
from apps.tasks.operations import Request
from apps.tenancy.models import App
from tests.support.letters import fresh, letter, letters

Read = Callable[[str], str]
PAGE = "/admin/dead-letters/"
HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"


def text(page: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page)).split())


def hidden(page: str) -> dict[str, str]:
    """What the form of an action sends by itself."""
    form = page[page.index('class="form"') :]
    pairs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', form)
    return {name: html.unescape(value) for name, value in pairs if name != "csrfmiddlewaretoken"}


def links(page: str) -> list[str]:
    return [html.unescape(address) for address in re.findall(r'class="row-link" href="([^"]+)"', page)]


@pytest.fixture
def filed(configured: App, worker: Worker) -> list[DeadLetter]:
    """Three letters of one group, and one of another agent."""
    made = letters(configured, worker, 3, agent="echo")
    report = {"text": "the report", "style": "short"}
    return [*made, letter(configured, worker, "report", "no such card", code="card", value=report)]


# --- Groups and letters -------------------------------------------------------------------------------------------
def test_without_letters_the_page_says_so(read: Read) -> None:
    assert "No dead letters." in read(PAGE)
    assert "There are none." in read(f"{PAGE}?status=discarded")
    assert "No dead letter matches." in read(f"{PAGE}?agent=nobody")
    assert "No dead letter matches." in read(f"{PAGE}letters/")


def test_letters_are_shown_in_groups_and_each_number_is_that_of_its_list(filed: list[DeadLetter], read: Read) -> None:
    page = read(PAGE)
    groups = links(page)
    numbers = re.findall(r'data-label="Letters">(\d+)<', page)
    assert numbers == ["1", "3"]
    assert [read(address).count("row-actions") for address in groups] == [1, 3]
    assert "no such card" in page and "order 2 broke" in page
    assert 'aria-label="3 letters in the last 7 d"' in page


def test_the_badge_on_every_page_counts_the_open_letters(filed: list[DeadLetter], app: App, read: Read) -> None:
    assert 'aria-label="4 open dead letters"' in read("/admin/agents/")
    dead_letters.discard(app, filed[0], by="olga")
    page = read("/admin/agents/")
    assert 'href="/admin/dead-letters/letters/" aria-label="3 open dead letters"' in page
    assert read("/admin/dead-letters/letters/").count("row-actions") == 3


def test_states_are_counted_as_they_are_listed(filed: list[DeadLetter], app: App, read: Read) -> None:
    dead_letters.discard(app, filed[0], by="olga", reason="a test order")
    dead_letters.retry(app, filed[1], by="olga")
    for start in (PAGE, f"{PAGE}letters/"):
        found = re.findall(
            r'<a href="([^"]+)"[^>]*data-state="(\w+)">(?:(?!</a>).)*?rail-number">(\d+)<', read(start), re.DOTALL
        )
        assert [(status, number) for _, status, number in found] == [
            ("open", "2"), ("retried", "1"), ("discarded", "1"),
        ]  # fmt: skip
    discarded = read(f"{PAGE}letters/?status=discarded")
    assert "by olga" in text(discarded) and "a test order" in discarded
    assert "row-actions" not in discarded


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("agent=echo", 3),
        ("code=card", 1),
        ("agent=echo&code=card", 0),
        ("entered=1h", 3),
        ("entered=nonsense&status=nonsense&letter=x&before=x", 4),
        ("status=discarded", 0),
    ],
)
def test_the_address_says_which_letters(filed: list[DeadLetter], read: Read, query: str, count: int) -> None:
    DeadLetter.objects.filter(pk=filed[0].pk).update(entered_at=timezone.now() - timedelta(days=2))
    assert read(f"{PAGE}letters/?{query}").count("row-actions") == count
    counts = re.findall(r'data-label="Letters">(\d+)<', read(f"{PAGE}?{query}"))
    assert sum(int(number) for number in counts) == count


def test_what_failed_is_text_and_never_markup(configured: App, worker: Worker, read: Read) -> None:
    filed = letter(configured, worker, "echo", HOSTILE, code=HOSTILE, value=HOSTILE)
    dead_letters.discard(configured, letter(configured, worker, "echo", HOSTILE), by=HOSTILE, reason=HOSTILE)
    asked = Request("discard", LetterFilter(agent="echo"), reason=HOSTILE)
    operation = operations.start(configured, asked, by=HOSTILE)
    pages = ("", "letters/", f"letters/?fingerprint={filed.fingerprint}", "letters/?status=discarded", "retry/")
    for path in (*pages, "discard/", f"discard/?letter={filed.pk}", f"operations/{operation.pk}/"):
        page = read(PAGE + path)
        assert "alert(" in page, path
        assert "<script>alert" not in page and "<img src=x" not in page, path


def test_a_long_list_goes_on_page_by_page(configured: App, worker: Worker, app: App, read: Read) -> None:
    first = letter(configured, worker, "echo")
    copies = [
        DeadLetter(
            task=first.task, agent="echo", code="broken", fingerprint=f"{number:064}", error=first.error,
            status="discarded", resolved_at=timezone.now(),
        )
        for number in range(60)
    ]  # fmt: skip
    DeadLetter.objects.bulk_create(copies)
    for path in (f"{PAGE}?status=discarded", f"{PAGE}letters/?status=discarded"):
        page = read(path)
        older = re.search(r'rel="next" href="([^"]+)"', page)
        assert older, path
        second = read(path.partition("?")[0] + html.unescape(older[1]))
        assert (page.count("spark-cell") or page.count('Task now">')) == 50
        assert (second.count("spark-cell") or second.count('Task now">')) == 10


@pytest.mark.parametrize("path", ["", "letters/"])
def test_a_page_asks_no_more_questions_the_more_letters_there_are(
    path: str, configured: App, worker: Worker, read: Read
) -> None:
    counts = []
    for number in (2, 15):
        for each in range(number):
            letter(configured, worker, "echo", f"{chr(97 + each)} {number} broke")
        with CaptureQueriesContext(connection) as queries:
            read(PAGE + path)
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Actions ------------------------------------------------------------------------------------------------------
def start(console: Client, verb: str, query: str = "", **fields: Any) -> Any:
    """Opens the page of an action and sends its form."""
    page = console.get(f"{PAGE}{verb}/?{query}").content.decode()
    return console.post(f"{PAGE}{verb}/", hidden(page) | fields)


def test_an_action_says_what_it_would_touch_and_does_nothing_yet(filed: list[DeadLetter], console: Client) -> None:
    for verb in ("retry", "discard"):
        page = console.get(f"{PAGE}{verb}/?agent=echo").content.decode()
        assert f"<h1>{verb.capitalize()} 3 letters</h1>" in page
        assert "3 open letters" in text(page) and "order 2 broke" in page and "no such card" not in page
    assert not Operation.objects.exists()


def test_a_group_is_retried_one_first(filed: list[DeadLetter], console: Client) -> None:
    answer = start(console, "retry", f"fingerprint={filed[0].fingerprint}", how="canary", start="journal", reason="ok")
    operation = Operation.objects.get()
    assert answer["Location"] == f"{PAGE}operations/{operation.pk}/"
    assert (operation.verb, operation.total, operation.actor) == ("retry", 3, "olga")
    assert operation.options == {"canary": True, "reason": "ok"}


def test_all_that_match_start_over_with_another_input(filed: list[DeadLetter], console: Client) -> None:
    start(console, "retry", "agent=echo", how="at_once", start="input", input="other")
    assert Operation.objects.get().options == {"input": {"text": "other"}}
    refused = start(console, "retry", "agent=report", how="at_once", start="input", input="{no json")
    assert refused.status_code == 400 and "{no json" in refused.content.decode()
    start(console, "retry", "agent=report", how="at_once", start="input", input='{"text": "x", "style": "long"}')
    assert Operation.objects.first().options == {"input": {"text": "x", "style": "long"}}  # type: ignore[union-attr]


def test_discarding_needs_a_reason(filed: list[DeadLetter], console: Client) -> None:
    refused = start(console, "discard", "agent=echo", reason="  ")
    assert refused.status_code == 400 and "Say why" in refused.content.decode()
    assert not Operation.objects.exists()
    assert start(console, "discard", "agent=echo", reason="test orders").status_code == 302
    assert Operation.objects.get().options == {"reason": "test orders"}


def test_without_a_filter_all_must_be_typed(filed: list[DeadLetter], console: Client) -> None:
    for typed in ("", "yes"):
        refused = start(console, "discard", reason="a test", typed=typed)
        assert refused.status_code == 400 and "type “all”" in refused.content.decode()
    assert not Operation.objects.exists()
    assert start(console, "discard", reason="a test", typed="All").status_code == 302
    assert Operation.objects.get().total == 4


def test_a_set_that_changed_since_it_was_shown_is_shown_again(
    filed: list[DeadLetter], app: App, console: Client
) -> None:
    page = console.get(f"{PAGE}discard/?agent=echo").content.decode()
    dead_letters.discard(app, filed[0], by="bob")
    answer = console.post(f"{PAGE}discard/", hidden(page) | {"reason": "a test"})
    again = answer.content.decode()
    assert answer.status_code == 409
    assert "3 dead letters were shown and 2 match now" in again and "<h1>Discard 2 letters</h1>" in again
    assert not Operation.objects.exists()
    assert console.post(f"{PAGE}discard/", hidden(again) | {"reason": "a test"}).status_code == 302


def test_letters_that_come_while_somebody_decides_are_left_out(
    filed: list[DeadLetter], configured: App, worker: Worker, console: Client
) -> None:
    page = console.get(f"{PAGE}discard/?agent=echo&entered=24h").content.decode()
    assert "3 open letters with agent echo , filed 20" in text(page)
    letter(configured, worker, "echo")
    assert console.post(f"{PAGE}discard/", hidden(page) | {"reason": "a test"}).status_code == 302
    assert Operation.objects.get().total == 3


def test_when_nothing_is_left_the_action_says_so(filed: list[DeadLetter], app: App, console: Client) -> None:
    page = console.get(f"{PAGE}discard/?agent=report").content.decode()
    dead_letters.discard(app, filed[3], by="bob")
    answer = console.post(f"{PAGE}discard/", hidden(page) | {"reason": "a test"})
    assert answer.status_code == 409 and "No open dead letter matches." in answer.content.decode()


def test_one_letter_is_discarded_at_once(filed: list[DeadLetter], console: Client) -> None:
    query = f"letter={filed[0].pk}&agent=echo"
    refused = start(console, "discard", query, reason="")
    assert refused.status_code == 400 and fresh(filed[0]).status == "open"
    answer = start(console, "discard", query, reason="a test order")
    assert answer["Location"] == f"{PAGE}letters/?agent=echo"
    assert (fresh(filed[0]).status, filed[0].resolved_by, filed[0].reason) == ("discarded", "olga", "a test order")
    late = console.get(f"{PAGE}discard/?{query}").content.decode()
    assert "was discarded already by olga" in late
    assert console.get(f"{PAGE}discard/?letter=999999").status_code == 404


def test_one_letter_is_retried_on_the_page_of_its_task(filed: list[DeadLetter], console: Client) -> None:
    answer = console.get(f"{PAGE}retry/?letter={filed[0].pk}")
    assert answer["Location"] == f"/admin/tasks/{filed[0].task_id}/retry/"
    told = hidden(console.get(answer["Location"]).content.decode())
    console.post(answer["Location"], {**told, "from": "journal"})
    assert (fresh(filed[0]).status, filed[0].resolved_by) == ("retried", "olga")


# --- The operation ------------------------------------------------------------------------------------------------
def test_an_operation_tells_what_became_of_each_letter(filed: list[DeadLetter], app: App, read: Read) -> None:
    operation = operations.start(app, Request("retry", LetterFilter(), everything=True), by="olga")
    path = f"{PAGE}operations/{operation.pk}/"
    assert "Waiting for a worker." in read(path) and "Stop…" in read(path)
    dead_letters.discard(app, filed[0], by="bob")
    operations.step(app, operation.pk)
    page = read(path)
    assert "Finished: 3 of 4 retried, 1 skipped." in page and "Stop…" not in page
    assert "discarded already by bob" in page
    for outcome, number in re.findall(r'href="\?outcome=(\w+)".*?tile-number">(\d+)<', page):
        assert read(f"{path}?outcome={outcome}").count('data-label="Task now"') == int(number)
    assert f"operations/{operation.pk}/" in read(PAGE)


def test_an_operation_is_stopped_from_its_page(filed: list[DeadLetter], app: App, console: Client) -> None:
    operation = operations.start(app, Request("retry", LetterFilter(agent="echo"), canary=True), by="olga")
    operations.step(app, operation.pk)
    path = f"{PAGE}operations/{operation.pk}/"
    assert "One letter was retried first." in console.get(path).content.decode()
    asking = text(console.get(f"{path}stop/").content.decode())
    assert "2 letters are not done yet and stay open." in asking
    answer = console.post(f"{path}stop/", {"app": "acme", "reason": "too soon"}, follow=True)
    assert "Stopped by olga: too soon. 1 of 3 retried; 2 letters were left alone." in answer.content.decode()
    again = console.post(f"{path}stop/", {"app": "acme"})
    assert again.status_code == 409 and "has ended" in again.content.decode()
    assert DeadLetter.objects.filter(status="open", agent="echo").count() == 2


def test_an_operation_that_is_not_there_is_not_found(console: Client) -> None:
    path = f"{PAGE}operations/01900000-0000-7000-8000-000000000000/"
    assert console.get(path).status_code == console.get(f"{path}stop/").status_code == 404


def test_the_page_of_an_operation_renews_itself_until_its_tasks_have_ended(
    filed: list[DeadLetter], app: App, console: Client
) -> None:
    asked = Request("discard", LetterFilter(agent="echo"))
    operation = operations.start(app, asked, by="olga")
    path = f"{PAGE}operations/{operation.pk}/"
    before = re.search(r'data-live="(\w+)" data-ends="no"', console.get(path).content.decode())
    assert before
    assert console.get(path, headers={"X-Live": before[1]}).status_code == 304
    operations.step(app, operation.pk)
    after = console.get(path, headers={"X-Live": before[1]})
    assert (after.status_code, after["X-Live-Ends"]) == (200, "yes")
    assert filed[0].task.status == TaskStatus.FAILED
