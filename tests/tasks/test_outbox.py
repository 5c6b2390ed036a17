"""Events that are subscribed to reach each subscriber once and in order, whatever commits late or crashes."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from django.db import connection, transaction

from apps.queue import entries, holds, leases
from apps.queue.models import QueueEntry, Worker
from apps.tasks import outbox, recovery
from apps.tasks.events import EventType, NewEvent, announce
from apps.tasks.integrity import complaints
from apps.tasks.models import Event
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.support.agents import submit
from tests.support.work import ended, wait_for, working

HEARD = "tests"
NOTE = EventType.OPERATION_STARTED  # any type of no task


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """What a subscriber has been handed."""
    found: list[Event] = []

    def consume(app: App, events: Sequence[Event]) -> None:
        found.extend(events)

    monkeypatch.setitem(outbox.consumers, HEARD, consume)
    return found


def note(number: int) -> None:
    announce(NewEvent(NOTE, {"number": number}))


def numbers(events: Sequence[Event]) -> list[int]:
    return [event.payload["number"] for event in events]


def hand_over(app: App, worker: Worker) -> None:
    """As a worker does, once."""
    claimed = leases.claim(worker.pk, 100)
    with transaction.atomic():
        outbox.hand_over(app, claimed)


def test_what_is_subscribed_to_is_handed_over_and_nothing_else(app: App, worker: Worker, heard: list[Event]) -> None:
    note(1)
    assert not QueueEntry.objects.exists()
    outbox.subscribe(HEARD, {NOTE})
    note(2)
    announce(NewEvent(EventType.STATE_CHANGED))
    announce(NewEvent(NOTE, {"number": 3}), NewEvent(EventType.STATE_CHANGED))
    hand_over(app, worker)
    hand_over(app, worker)
    assert numbers(heard) == [2, 3]
    assert not Event.objects.filter(unread=True).exists() and not QueueEntry.objects.exists()
    outbox.subscribe(HEARD, set())
    note(4)
    assert not QueueEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_events_of_tasks_and_of_the_app_arrive_while_a_worker_works(app: App, heard: list[Event]) -> None:
    outbox.subscribe(HEARD, {EventType.EXECUTION_COMPLETED, EventType.STATE_CHANGED})
    with working():
        task = ended(submit(app, "agent"))
        holds.hold(app, "agent", by="anna")
        wait_for(lambda: len(heard) == 3, what="all are handed over")
    assert [event.type for event in heard] == ["state_changed", "execution_completed", "state_changed"]
    assert [event.task_id for event in heard] == [task.pk, task.pk, None]
    assert complaints(app) == []


@pytest.mark.django_db(transaction=True)
def test_the_start_of_a_task_is_handed_over_too(app: App, heard: list[Event]) -> None:
    outbox.subscribe(HEARD, {EventType.EXECUTION_STARTED})
    with working():
        task = ended(submit(app, "agent"))
        wait_for(lambda: bool(heard), what="it is handed over")
    assert [(event.task_id, event.payload["attempt"]) for event in heard] == [(task.pk, 1)]


def test_a_subscriber_that_fails_loses_nothing_and_repeats_nothing(
    app: App, worker: Worker, heard: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(app: App, events: Sequence[Event]) -> None:
        Event.objects.create(type=NOTE, payload={"number": 0})  # is undone
        raise RuntimeError("a bug")

    monkeypatch.setitem(outbox.consumers, "other", refuse)
    outbox.subscribe(HEARD, {NOTE})
    note(1)
    with pytest.raises(RuntimeError):
        hand_over(app, worker)
    assert numbers(list(Event.objects.filter(unread=True))) == [1] and Event.objects.count() == 1
    heard.clear()
    monkeypatch.delitem(outbox.consumers, "other")
    with transaction.atomic():
        outbox.hand_over(app, [])
    assert numbers(heard) == [1]


def test_a_transaction_that_is_undone_hands_nothing_over(app: App, worker: Worker, heard: list[Event]) -> None:
    outbox.subscribe(HEARD, {NOTE})
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        note(1)
        1 / 0  # noqa: B018
    note(2)
    hand_over(app, worker)
    assert numbers(heard) == [2]


def test_more_than_a_batch_is_handed_over_in_order(
    app: App, worker: Worker, heard: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "BATCH", 2)
    outbox.subscribe(HEARD, {NOTE})
    announce(*(NewEvent(NOTE, {"number": number}) for number in range(5)))
    while QueueEntry.objects.exists():
        hand_over(app, worker)
    assert numbers(heard) == [0, 1, 2, 3, 4]


def in_thread(app: App, work: object) -> threading.Thread:
    def run() -> None:
        try:
            with in_app(app):
                work()  # type: ignore[operator]
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.django_db(transaction=True)
def test_an_event_that_commits_late_is_not_passed_over(
    app: App, worker: Worker, heard: list[Event], on_postgresql: bool
) -> None:
    if not on_postgresql:
        pytest.skip("SQLite's writers take turns: nothing commits late")
    outbox.subscribe(HEARD, {NOTE})
    written, commit = threading.Event(), threading.Event()

    def late() -> None:
        with transaction.atomic():
            note(1)
            written.set()
            assert commit.wait(10)

    thread = in_thread(app, late)
    assert written.wait(10)
    note(2)
    hand_over(app, worker)
    assert numbers(heard) == [2]
    commit.set()
    thread.join(10)
    hand_over(app, worker)
    assert numbers(heard) == [2, 1] and heard[0].pk > heard[1].pk
    assert not Event.objects.filter(unread=True).exists()


@pytest.mark.django_db(transaction=True)
def test_two_readers_at_once_hand_each_event_over_once(app: App, worker: Worker, heard: list[Event]) -> None:
    outbox.subscribe(HEARD, {NOTE})
    for number in range(50):
        note(number)

    def read() -> None:
        with transaction.atomic():
            outbox.hand_over(app, [])

    for thread in [in_thread(app, read) for _ in range(4)]:
        thread.join(20)
    assert numbers(heard) == list(range(50))


def test_an_event_whose_entry_is_gone_is_found_again(app: App, worker: Worker, heard: list[Event]) -> None:
    outbox.subscribe(HEARD, {NOTE})
    note(1)
    entries.remove(app, QueueEntry.objects.get().key, kind=outbox.KIND)
    assert complaints(app) == [f"unread event that nobody is going to hand over: {Event.objects.get().pk}"]
    assert recovery.repair(app).enqueued == 1
    assert recovery.repair(app).enqueued == 0
    assert complaints(app) == []
    hand_over(app, worker)
    assert numbers(heard) == [1]
