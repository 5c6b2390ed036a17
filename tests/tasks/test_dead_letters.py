"""Dead letters: what is filed, found and grouped, and what retrying and discarding one does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from apps.queue.models import QueueEntry, Worker
from apps.tasks import dead_letters, lifecycle
from apps.tasks.dead_letters import LetterFilter, LetterResolved, find
from apps.tasks.errors import InputInvalid
from apps.tasks.integrity import complaints
from apps.tasks.models import DeadLetter, TaskStatus
from apps.tenancy.models import App
from tests.support.letters import fresh, letter, letters
from tests.support.transitions import start


def groups(which: LetterFilter) -> list[dead_letters.Group]:
    return dead_letters.described(dead_letters.grouped(which).order_by("-last"))


def test_a_letter_is_filed_with_agent_code_and_checkpoint(app: App, worker: Worker) -> None:
    filed = letter(app, worker)
    assert (filed.agent, filed.code, filed.status, filed.last_checkpoint) == ("agent", "broken", "open", 0)
    assert filed.error == {"code": "broken", "message": "it broke", "retryable": False}


def test_a_code_of_any_length_is_filed(app: App, worker: Worker) -> None:
    assert letter(app, worker, code="x" * 300).code == "x" * 100


def test_letters_that_differ_only_in_numbers_are_one_group(app: App, worker: Worker) -> None:
    first, _, last = letters(app, worker, 3)
    other = letter(app, worker, message="the card was refused")
    found = groups(LetterFilter(status="open"))
    assert [(group.count, group.sample) for group in found] == [(1, other), (3, last)]
    assert (found[1].first_seen, found[1].last_seen) == (first.entered_at, last.entered_at)


def test_a_group_is_of_one_agent(app: App, worker: Worker) -> None:
    letter(app, worker, "agent")
    letter(app, worker, "strict", value={"order": 1})
    assert [(group.sample.agent, group.count) for group in groups(LetterFilter())] == [("strict", 1), ("agent", 1)]


def test_the_list_and_the_groups_hold_the_same_letters_whatever_the_filter(app: App, worker: Worker) -> None:
    old, *_ = letters(app, worker, 3)
    DeadLetter.objects.filter(pk=old.pk).update(entered_at=timezone.now() - timedelta(days=3))
    letter(app, worker, "strict", "no such card", code="card", value={"order": 1})
    dead_letters.discard(app, letter(app, worker), by="anna")
    yesterday = timezone.now() - timedelta(days=1)
    filters = {
        LetterFilter(): 5,
        LetterFilter(status="open"): 4,
        LetterFilter(status="discarded"): 1,
        LetterFilter(status="open", agent="agent"): 3,
        LetterFilter(agent="strict", code="card"): 1,
        LetterFilter(agent="agent", code="card"): 0,
        LetterFilter(status="open", fingerprint=old.fingerprint): 3,
        LetterFilter(entered_after=yesterday): 4,
        LetterFilter(entered_before=yesterday): 1,
        LetterFilter(up_to=old.pk): 1,
        LetterFilter(ids=(old.pk, 0)): 1,
    }
    for which, expected in filters.items():
        assert find(which).count() == sum(group.count for group in groups(which)) == expected, which


def test_a_history_has_each_letter_in_its_stretch_of_time(app: App, worker: Worker) -> None:
    made = letters(app, worker, 4)
    for each, hours in zip(made, (0.5, 1.5, 1.6, 30), strict=True):
        DeadLetter.objects.filter(pk=each.pk).update(entered_at=timezone.now() - timedelta(hours=hours))
    fingerprint = made[0].fingerprint
    history = dead_letters.histories(
        LetterFilter(status="open"), [fingerprint, "other"], steps=24, step=timedelta(hours=1)
    )
    assert history == {fingerprint: [0] * 22 + [2, 1], "other": [0] * 24}


def test_groups_are_made_from_the_index_alone(app: App) -> None:
    """What keeps them fast with 100,000 letters (PostgreSQL chooses by its statistics, so it is not asked here)."""
    if connection.vendor == "postgresql":
        pytest.skip("asked of SQLite")
    plan = dead_letters.grouped(LetterFilter(status="open")).order_by("-last").explain()
    assert "USING COVERING INDEX dead_letter_group" in plan


def test_a_letter_is_retried_with_who_and_why(app: App, worker: Worker) -> None:
    filed = letter(app, worker)
    task = dead_letters.retry(app, filed, by="anna", reason="the gateway is back")
    assert (task.pk, task.status) == (filed.task_id, TaskStatus.PENDING)
    resolved = fresh(filed)
    assert (resolved.status, resolved.resolved_by, resolved.reason) == ("retried", "anna", "the gateway is back")
    assert task.attempts.count() == 1, "the evidence is kept"
    assert start(app, worker)
    assert complaints(app) == []


def test_a_retry_of_the_task_itself_resolves_its_letter_too(app: App, worker: Worker) -> None:
    filed = letter(app, worker)
    lifecycle.retry(app, filed.task, by="anna", reason="again")
    assert (fresh(filed).status, filed.resolved_by, filed.reason) == ("retried", "anna", "again")


def test_a_letter_is_retried_with_another_input_that_must_fit(app: App, worker: Worker) -> None:
    filed = letter(app, worker, "strict", value={"order": 1})
    with pytest.raises(InputInvalid):
        dead_letters.retry(app, filed, by="anna", new_input={"order": "one"})
    assert (fresh(filed).status, QueueEntry.objects.exists()) == ("open", False)
    assert dead_letters.retry(app, filed, by="anna", new_input={"order": 2}).input == {"order": 2}


def test_a_discarded_letter_leaves_its_task_failed_and_all_in_order(app: App, worker: Worker) -> None:
    filed = dead_letters.discard(app, letter(app, worker), by="anna", reason="a test order")
    assert (filed.status, filed.resolved_by, filed.reason) == ("discarded", "anna", "a test order")
    assert filed.resolved_at and filed.task.status == TaskStatus.FAILED
    event = filed.task.events.latest("seq")
    assert (event.type, event.actor, event.payload["reason"]) == ("dead_letter_discarded", "anna", "a test order")
    assert complaints(app) == []


@pytest.mark.parametrize("verb", [dead_letters.retry, dead_letters.discard])
def test_a_resolved_letter_is_left_alone_and_says_who_resolved_it(app: App, worker: Worker, verb: object) -> None:
    filed = dead_letters.discard(app, letter(app, worker), by="anna")
    before = filed.task.last_seq
    with pytest.raises(LetterResolved, match="discarded already by anna"):
        verb(app, filed, by="bob")  # type: ignore[operator]
    filed.task.refresh_from_db()
    assert (filed.task.status, filed.task.last_seq) == (TaskStatus.FAILED, before)


def test_a_task_whose_letter_was_discarded_may_run_and_fail_again(app: App, worker: Worker) -> None:
    filed = dead_letters.discard(app, letter(app, worker), by="anna")
    lifecycle.retry(app, filed.task, by="bob")
    assert fresh(filed).status == "discarded"
    assert complaints(app) == []
