"""What is pruned and, more than that, what is not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, transaction
from django.utils import timezone

from apps.approvals.models import Approval, Decision
from apps.queue import leases
from apps.queue.maintenance import jobs
from apps.queue.models import Worker
from apps.tasks import cascade, forks, journal, lifecycle, retention
from apps.tasks.integrity import complaints
from apps.tasks.journal import Change, NewCheckpoint
from apps.tasks.models import (
    LIVE,
    Attempt,
    Checkpoint,
    DeadLetter,
    Event,
    IdempotencyKey,
    Operation,
    OperationItem,
    PrunedTask,
    Task,
    TaskStatus,
    UniquePeriod,
)
from apps.tenancy.models import App
from hector_site import env
from tests.support.agents import submit
from tests.support.letters import letter
from tests.support.transitions import settle, start

DAY = 86400


def completed(app: App, worker: Worker, *, days_ago: float = 0) -> Task:
    """One with an attempt, a checkpoint and events, that ended so long ago."""
    with transaction.atomic():
        task = submit(app)
        run = start(app, worker)
        assert run and run.task_id == task.pk
        journal.commit(app, [Change(run, [NewCheckpoint(Checkpoint.Kind.MODEL, "model:1", {"messages": []})])])
        settle(app, run, journal.complete(run, "ok"))
    return ended(task, days_ago)


def ended(task: Task, days_ago: float) -> Task:
    Task.objects.filter(pk=task.pk).update(finished_at=timezone.now() - timedelta(days=days_ago))
    task.refresh_from_db()
    return task


def kept() -> set[Any]:
    return set(Task.objects.values_list("pk", flat=True))


def keys(*tasks: Task) -> set[Any]:
    return {task.pk for task in tasks}


def resolved(found: DeadLetter, status: str, days_ago: float) -> None:
    when = timezone.now() - timedelta(days=days_ago)
    DeadLetter.objects.filter(pk=found.pk).update(status=status, resolved_at=when)


def test_an_ended_task_goes_after_its_time_with_all_that_belongs_to_it(app: App, worker: Worker) -> None:
    old, young = completed(app, worker, days_ago=31), completed(app, worker, days_ago=29)
    approval = Approval.objects.create(
        task=old,
        kind="in_doubt",
        call="tool:1:a",
        digest="x",
        status="approved",
        outcome="ran",
        closed_at=timezone.now(),
    )
    Decision.objects.create(approval=approval, actor="anna", decision="ran")
    gone = retention.prune(app)
    assert kept() == keys(young)
    assert gone["tasks_task"] == gone["tasks_attempt"] == gone["tasks_checkpoint"] == gone["approvals_decision"] == 1
    assert gone["tasks_event"] == 3
    for model in (Attempt, Checkpoint, Event):
        assert set(model.objects.values_list("task_id", flat=True)) == {young.pk}
    assert not Approval.objects.exists() and not Decision.objects.exists()
    assert complaints(app) == []


def test_for_a_week_it_is_known_of_a_task_that_it_was_pruned(app: App, worker: Worker) -> None:
    task = completed(app, worker, days_ago=31)
    retention.prune(app)
    assert PrunedTask.objects.get().pk == task.pk
    PrunedTask.objects.update(at=timezone.now() - timedelta(days=6))
    assert not retention.prune(app)
    PrunedTask.objects.update(at=timezone.now() - timedelta(days=8))
    assert retention.prune(app) == {"tasks_prunedtask": 1}


def test_what_has_not_ended_is_never_pruned(app: App, worker: Worker, settings: Any) -> None:
    settings.HECTOR_RETENTION_TASKS, settings.HECTOR_RETENTION_TASKS_MAX = 0.001, 1
    tasks = [submit(app) for _ in LIVE]
    for task, status in zip(tasks, LIVE, strict=True):
        Task.objects.filter(pk=task.pk).update(status=status, created_at=timezone.now() - timedelta(days=900))
    assert not retention.prune(app)
    assert kept() == keys(*tasks)


def test_a_task_with_an_open_dead_letter_is_never_pruned(app: App, worker: Worker) -> None:
    found = letter(app, worker)
    ended(found.task, 900)
    assert not retention.prune(app)
    assert kept() == {found.task_id}


def test_a_failed_task_is_kept_for_a_time_after_its_letter_was_resolved(app: App, worker: Worker) -> None:
    found = letter(app, worker)
    ended(found.task, 900)
    resolved(found, "discarded", days_ago=29)
    assert not retention.prune(app)
    resolved(found, "discarded", days_ago=31)
    retention.prune(app)
    assert kept() == set() and not DeadLetter.objects.exists()


def test_the_letter_of_a_task_that_was_retried_goes_before_the_task(app: App, worker: Worker) -> None:
    found = letter(app, worker)
    lifecycle.retry(app, found.task, by="anna")
    assert not retention.prune(app)
    resolved(found, "retried", days_ago=31)
    assert retention.prune(app) == {"tasks_deadletter": 1}
    assert kept() == {found.task_id}
    assert complaints(app) == []


def test_a_discarded_letter_stays_as_long_as_its_task_that_failed(app: App, worker: Worker, settings: Any) -> None:
    settings.HECTOR_RETENTION_TASKS = 365 * DAY
    found = letter(app, worker)
    resolved(found, "discarded", days_ago=31)
    assert not retention.prune(app)
    assert complaints(app) == []


def test_of_too_many_ended_tasks_the_last_ones_are_kept(app: App, worker: Worker, settings: Any) -> None:
    settings.HECTOR_RETENTION_TASKS_MAX = 2
    tasks = [completed(app, worker, days_ago=days) for days in (1, 4, 2, 3)]
    waiting = submit(app)
    retention.prune(app)
    assert kept() == keys(tasks[0], tasks[2], waiting)


def test_zero_is_without_end(app: App, worker: Worker, settings: Any) -> None:
    settings.HECTOR_RETENTION_TASKS, settings.HECTOR_RETENTION_TASKS_MAX = 0.0, 0
    completed(app, worker, days_ago=9000)
    assert not retention.prune(app)


def test_a_task_that_a_key_speaks_for_is_kept_as_long_as_the_key(app: App, worker: Worker, settings: Any) -> None:
    first, second = completed(app, worker, days_ago=31), completed(app, worker, days_ago=31)
    IdempotencyKey.objects.create(key="k", digest="d", task=first)
    tomorrow = timezone.now() + timedelta(days=1)
    UniquePeriod.objects.create(key="u", task=second, expires_at=tomorrow)
    assert not retention.prune(app)
    IdempotencyKey.objects.update(created_at=timezone.now() - timedelta(days=2))
    UniquePeriod.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert retention.prune(app)["tasks_idempotencykey"] == 1
    assert kept() == set() and not UniquePeriod.objects.exists()


def test_a_fork_outlives_its_parent(app: App, worker: Worker) -> None:
    parent = completed(app, worker, days_ago=31)
    child = forks.fork(app, parent, by="anna", from_checkpoint=1)
    retention.prune(app)
    child.refresh_from_db()
    assert (child.forked_from_id, child.forked_at_checkpoint, child.checkpoints.count()) == (None, 1, 1)
    assert complaints(app) == []


def test_finished_operations_go_and_running_ones_stay(app: App, worker: Worker) -> None:
    found = letter(app, worker)
    old = timezone.now() - timedelta(days=31)
    done = Operation.objects.create(verb="retry", actor="anna", total=1, status="completed", finished_at=old)
    running = Operation.objects.create(verb="retry", actor="anna", total=1, created_at=old)
    for operation in (done, running):
        OperationItem.objects.create(operation=operation, dead_letter=found)
    assert retention.prune(app) == {"tasks_operation": 1, "tasks_operationitem": 1}
    assert Operation.objects.get() == running


def test_events_of_no_task_go_after_the_time_of_tasks(app: App) -> None:
    for days in (1, 31):
        Event.objects.create(type="state_changed", at=timezone.now() - timedelta(days=days))
    assert retention.prune(app) == {"tasks_event": 1}


def test_an_app_has_values_of_its_own(app: App, worker: Worker) -> None:
    task = completed(app, worker, days_ago=2)
    app.retention = {"tasks": 1.0 * DAY}
    assert retention.policy_of(app).tasks == DAY and retention.policy_of(app).tasks_max == 1_000_000
    retention.prune(app)
    assert task.pk not in kept()


def test_a_task_that_is_retried_meanwhile_is_not_deleted(app: App, worker: Worker) -> None:
    task = submit(app)
    lifecycle.cancel(app, task, by="anna")
    ended(task, 31)
    where, params = retention._prunable(retention.policy_of(app))[Task]
    with connection.cursor() as cursor:
        cursor.execute("SELECT id FROM tasks_task")
        chosen: Sequence[Any] = [key for (key,) in cursor.fetchall()]
    lifecycle.retry(app, task, by="anna")  # between the choice and the deletion
    assert not cascade.delete(Task, chosen, where, params)
    assert kept() == keys(task)


def test_many_are_pruned_in_batches(app: App, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "READ", 7)
    monkeypatch.setattr(retention, "MOST", 10)
    old = timezone.now() - timedelta(days=40)
    version = submit(app).agent_version
    Task.objects.bulk_create(
        Task(
            agent="agent", agent_version=version, input={}, max_retries=0, status=TaskStatus.COMPLETED,
            finished_at=old + timedelta(seconds=number),
        )
        for number in range(45)
    )  # fmt: skip
    assert retention.prunable(app)["tasks_task"] == 45
    assert retention.prune(app)["tasks_task"] == 45
    assert Task.objects.count() == 1 and leases.outlook().ready


def test_it_runs_by_itself(app: App, worker: Worker, transactional_db: None) -> None:
    completed(app, worker, days_ago=31)
    assert jobs["hector-retention"].function == "apps.tasks.retention.prune_all"
    assert retention.prune_all() > 0
    assert kept() == set()


def test_the_command_says_what_would_go_and_deletes_it(app: App, worker: Worker) -> None:
    completed(app, worker, days_ago=31)
    said = StringIO()
    call_command("prune", "--app", app.name, "--dry-run", stdout=said)
    assert "acme keeps: tasks 30d, tasks_max 1000000, dead_letters 30d" in said.getvalue()
    assert "1 task would go" in said.getvalue() and "3 event would go" in said.getvalue()
    assert len(kept()) == 1
    said = StringIO()
    call_command("prune", "--app", app.name, stdout=said)
    assert "1 task deleted" in said.getvalue()
    assert kept() == set()
    call_command("prune", "--app", app.name, stdout=said)
    assert "nothing to prune" in said.getvalue()


def test_the_command_knows_no_app_that_is_not_there() -> None:
    with pytest.raises(CommandError, match="no App nobody"):
        call_command("prune", "--app", "nobody", "--dry-run")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (86400, "1d"), (129600, "36h"), (90, "90s"), (0.5, "0.5s"), (120, "2m")]
)
def test_a_duration_is_shown_as_settings_are_written(seconds: float, text: str) -> None:
    assert env.duration(seconds) == text
