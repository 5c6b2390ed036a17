"""Unique work: who has a key, until when, and who is refused meanwhile."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from apps.queue.models import QueueEntry, Worker
from apps.tasks import journal, lifecycle
from apps.tasks.errors import NotUnique, TaskError
from apps.tasks.integrity import complaints
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Task, TaskStatus, UniquePeriod, UniqueScope
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.support.agents import submit
from tests.support.transitions import fresh, settle, start

BUSY = TaskError("busy", "busy", retryable=True)


def refused(app: App, **unique: Any) -> NotUnique:
    before = (Task.objects.count(), QueueEntry.objects.count())
    with pytest.raises(NotUnique) as caught:
        submit(app, **unique)
    assert (Task.objects.count(), QueueEntry.objects.count()) == before
    return caught.value


def test_a_key_keeps_others_out_until_its_task_has_ended(app: App, worker: Worker) -> None:
    task = submit(app, unique_key="daily")
    assert refused(app, unique_key="daily").holder == task.pk
    run = start(app, worker)
    assert run
    assert refused(app, unique_key="daily").holder == task.pk
    settle(app, run, journal.complete(run, 1))
    assert submit(app, unique_key="daily").pk != task.pk


def test_other_keys_and_tasks_without_one_are_let_in(app: App) -> None:
    submit(app, unique_key="daily")
    submit(app, unique_key="weekly")
    submit(app)
    submit(app)
    assert Task.objects.count() == 4


def test_while_pending_means_until_it_first_starts(app: App, worker: Worker) -> None:
    first = submit(app, unique_key="sync", unique_scope=UniqueScope.PENDING)
    assert refused(app, unique_key="sync", unique_scope=UniqueScope.PENDING).holder == first.pk
    run = start(app, worker)
    assert run
    second = submit(app, unique_key="sync", unique_scope=UniqueScope.PENDING)
    settle(app, run, journal.retry_later(run, BUSY, 60.0))  # pending again, beside the one that waits
    assert fresh(first).status == fresh(second).status == TaskStatus.PENDING
    assert refused(app, unique_key="sync", unique_scope=UniqueScope.PENDING).holder == second.pk


@pytest.mark.parametrize("scope", [UniqueScope.PENDING, UniqueScope.ACTIVE])
@pytest.mark.parametrize("how", ["retry_later", "hand_back"])
def test_going_back_to_pending_by_itself_never_collides(app: App, worker: Worker, scope: UniqueScope, how: str) -> None:
    task = submit(app, unique_key="k", unique_scope=scope)
    run = start(app, worker)
    assert run
    if scope == UniqueScope.PENDING:
        submit(app, unique_key="k", unique_scope=scope)
    end = journal.hand_back(run) if how == "hand_back" else journal.retry_later(run, BUSY, 60.0)
    assert settle(app, run, end) is None
    assert fresh(task).status == TaskStatus.PENDING
    assert complaints(app) == []


def test_for_a_period_means_whatever_becomes_of_the_task(app: App) -> None:
    task = submit(app, unique_key="report", unique_period=3600.0)
    lifecycle.cancel(app, task, by="anna")
    assert refused(app, unique_key="report", unique_period=3600.0).holder == task.pk
    UniquePeriod.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    later = submit(app, unique_key="report", unique_period=60.0)
    row = UniquePeriod.objects.get()
    assert row.task_id == later.pk
    assert (row.expires_at - timezone.now()).total_seconds() == pytest.approx(60, abs=10)


def test_the_scopes_do_not_see_each_other(app: App) -> None:
    for unique in ({}, {"unique_scope": UniqueScope.PENDING}, {"unique_period": 60.0}):
        submit(app, unique_key="k", **unique)
    assert Task.objects.count() == 3


def test_a_retry_of_a_task_whose_key_another_one_has_is_refused(app: App, worker: Worker) -> None:
    task = submit(app, unique_key="k")
    run = start(app, worker)
    assert run
    settle(app, run, journal.fail(run, TaskError("broken", "broken")))
    other = submit(app, unique_key="k")
    before = fresh(task).last_seq
    with pytest.raises(NotUnique) as caught:
        lifecycle.retry(app, task, by="anna")
    assert caught.value.holder == other.pk
    assert (fresh(task).status, task.last_seq) == (TaskStatus.FAILED, before)
    assert complaints(app) == []
    lifecycle.cancel(app, other, by="anna")
    assert lifecycle.retry(app, task, by="anna").status == TaskStatus.PENDING


def test_of_several_submitted_together_none_is_accepted_if_one_is_refused(app: App) -> None:
    submit(app, unique_key="k")
    with pytest.raises(NotUnique):
        lifecycle.submit_many(app, [NewTask("agent", "a"), NewTask("agent", "b", unique_key="k")], by="anna")
    with pytest.raises(NotUnique):
        lifecycle.submit_many(
            app, [NewTask("agent", "a", unique_key="new"), NewTask("agent", "b", unique_key="new")], by="anna"
        )
    assert Task.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "unique", [{}, {"unique_scope": UniqueScope.PENDING}, {"unique_period": 60.0}], ids=["active", "pending", "period"]
)
def test_of_many_submitted_at_once_one_is_accepted(app: App, unique: dict[str, Any]) -> None:
    holders: list[Any] = []
    start_together = threading.Barrier(4)

    def try_it() -> None:
        try:
            with in_app("acme") as mine:
                start_together.wait()
                submit(mine, unique_key="k", **unique)
        except NotUnique as error:
            holders.append(error.holder)
        finally:
            connection.close()

    threads = [threading.Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert holders == [Task.objects.get().pk] * 3
    assert QueueEntry.objects.count() == 1
