"""Deciding about calls in doubt: what each decision does, what is refused, and what waiting counts to."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.approvals import lifecycle as approvals
from apps.approvals.errors import AlreadyDecided, ApprovalError, DecisionInvalid, DecisionNotPossible, NothingToDecide
from apps.approvals.models import Approval, Decision
from apps.queue.models import QueueEntry
from apps.tasks import lifecycle
from apps.tasks.errors import IllegalTransition
from apps.tasks.integrity import complaints
from apps.tasks.models import DeadLetter, Task, TaskStatus
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.support.doubt import waiting
from tests.support.people import ANNA, OTTO, person
from tests.support.transitions import fresh
from tests.support.work import event_types, payloads


def open_ones(task: Task) -> list[Approval]:
    return list(Approval.objects.filter(task=task, status="open").order_by("id"))


def test_the_task_goes_on_with_the_last_decision_and_not_before(app: App) -> None:
    task = waiting(app, keys=("tool:1:a", "tool:1:b"))
    first, second = open_ones(task)
    approvals.decide(app, first, "ran", by=ANNA, answer={"paid": 5})
    assert fresh(task).status == TaskStatus.INPUT_REQUIRED
    assert not QueueEntry.objects.exists()
    approvals.decide(app, second, "run_again", by=OTTO)
    assert fresh(task).status == TaskStatus.PENDING
    assert QueueEntry.objects.get().key == task.pk
    assert event_types(task)[-3:] == ["approval_decided", "approval_decided", "execution_resumed"]
    assert list(task.events.filter(type="approval_decided").values_list("actor", flat=True)) == ["anna", "otto"]
    assert complaints(app) == []


@pytest.mark.parametrize(
    ("decision", "answer", "kind", "value"),
    [
        ("ran", {"paid": 5}, "tool_result", {"kind": "value", "value": {"paid": 5}}),
        ("run_again", None, "tool_decided", None),
    ],
)
def test_a_decision_stands_in_the_journal_at_exactly_its_call(
    app: App, decision: str, answer: Any, kind: str, value: Any
) -> None:
    task = waiting(app, keys=("tool:1:a", "tool:1:b"))
    approvals.decide(app, open_ones(task)[1], decision, by=ANNA, answer=answer)
    last = task.checkpoints.latest("seq")
    assert (last.kind, last.key) == (kind, "tool:1:b")
    if value:
        assert last.content == value


def test_failing_one_ends_the_task_and_closes_the_others(app: App) -> None:
    task = waiting(app, keys=("tool:1:a", "tool:1:b"))
    first, second = open_ones(task)
    approvals.decide(app, first, "fail", by=ANNA, comment="nobody knows")
    assert fresh(task).status == TaskStatus.FAILED
    second.refresh_from_db()
    assert (first.status, second.status) == ("rejected", "cancelled")
    assert DeadLetter.objects.get(task=task).error["code"] == "in_doubt"
    with pytest.raises(AlreadyDecided, match="before anybody decided"):
        approvals.decide(app, second, "run_again", by=OTTO)
    assert complaints(app) == []


def test_the_second_decision_is_refused_and_told_the_first(app: App) -> None:
    [approval] = open_ones(waiting(app))
    late = Approval.objects.get(pk=approval.pk)  # as the second person's page has it
    approvals.decide(app, approval, "run_again", by=ANNA)
    with pytest.raises(AlreadyDecided, match="run_again by anna"):
        approvals.decide(app, late, "fail", by=OTTO)
    assert Decision.objects.count() == 1
    assert fresh(approval.task).status == TaskStatus.PENDING


@pytest.mark.parametrize(
    ("error", "decision", "more"),
    [
        (DecisionNotPossible, "approve", {}),
        (DecisionNotPossible, "reject", {}),
        (DecisionNotPossible, "perhaps", {}),
        (DecisionInvalid, "ran", {}),
        (DecisionInvalid, "run_again", {"answer": 1}),
        (DecisionInvalid, "run_again", {"arguments": {"amount": 6}}),
    ],
)
def test_what_is_not_possible_is_refused_and_changes_nothing(
    app: App, error: type[ApprovalError], decision: str, more: dict[str, Any]
) -> None:
    task = waiting(app)
    before = task.last_seq
    with pytest.raises(error):
        approvals.decide(app, open_ones(task)[0], decision, by=ANNA, **more)
    assert (fresh(task).status, task.last_seq) == (TaskStatus.INPUT_REQUIRED, before)
    assert not Decision.objects.exists()
    assert len(open_ones(task)) == 1


def test_deciding_for_a_task_is_all_or_nothing(app: App) -> None:
    task = waiting(app, keys=("tool:1:a", "tool:1:b"))
    with pytest.raises(DecisionNotPossible, match="ran, run_again, fail"):
        approvals.decide_all(app, task, "approve", by=ANNA)
    approvals.decide_all(app, task, "run_again", by=ANNA)
    assert fresh(task).status == TaskStatus.PENDING
    with pytest.raises(NothingToDecide):
        approvals.decide_all(app, task, "run_again", by=ANNA)


def test_time_spent_waiting_counts_to_no_limit_and_moves_the_deadline(app: App) -> None:
    deadline = timezone.now() + timedelta(hours=1)
    task = waiting(app, deadline=deadline)
    assert task.ran_seconds < 60
    Task.objects.filter(pk=task.pk).update(waiting_since=timezone.now() - timedelta(hours=3))
    approvals.decide(app, open_ones(task)[0], "run_again", by=ANNA)
    fresh(task)
    assert task.waited_seconds == pytest.approx(3 * 3600, abs=60)
    assert task.ran_seconds < 60
    assert task.deadline is not None
    assert (task.deadline - deadline).total_seconds() == pytest.approx(3 * 3600, abs=60)
    assert payloads(task, "execution_resumed")[0]["waited_seconds"] == pytest.approx(3 * 3600, abs=60)
    assert (task.waiting_since, task.attempt) == (None, 0)


def test_a_leftover_entry_does_not_keep_a_task_from_going_on(app: App) -> None:
    """As after a machine stopped between the commits of two SQLite files."""
    task = waiting(app)
    QueueEntry.objects.create(app=app, key=task.pk, state="ready")
    approvals.decide(app, open_ones(task)[0], "run_again", by=ANNA)
    assert QueueEntry.objects.get().epoch == fresh(task).epoch


def test_a_task_that_was_asked_to_stop_while_it_began_to_wait_is_cancelled(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    from apps.tasks import journal

    write = journal._write_ended

    def asked_meanwhile(changes: Any) -> None:
        Task.objects.update(cancel_requested_at=timezone.now())
        write(changes)

    monkeypatch.setattr(journal, "_write_ended", asked_meanwhile)
    task = waiting(app)
    assert task.status == TaskStatus.CANCELLED
    assert Approval.objects.get().status == "cancelled"
    assert complaints(app) == []


def test_cancelling_closes_what_was_asked_and_it_cannot_be_decided_any_more(app: App) -> None:
    task = waiting(app, keys=("tool:1:a", "tool:1:b"))
    approval = open_ones(task)[0]
    lifecycle.cancel(app, task, by="anna")
    assert open_ones(task) == []
    with pytest.raises(AlreadyDecided):
        approvals.decide(app, approval, "run_again", by=OTTO)
    assert complaints(app) == []


@pytest.mark.parametrize("verb", ["resume", "fail_waiting"])
def test_only_a_waiting_task_is_resumed_or_failed(app: App, verb: str) -> None:
    from tests.support.agents import submit

    task = submit(app)
    with pytest.raises(IllegalTransition):
        if verb == "resume":
            lifecycle.resume(app, task, by="anna")
        else:
            lifecycle.fail_waiting(task, lifecycle.TaskError("x", "x"), by="anna")
    assert fresh(task).status == TaskStatus.PENDING


def test_integrity_names_a_task_that_nobody_can_decide_about_and_an_approval_of_nothing(app: App) -> None:
    task = waiting(app)
    Approval.objects.update(status="cancelled", closed_at=timezone.now())
    assert complaints(app) == [f"task that waits for a person without an open approval: {task.pk}"]
    Approval.objects.update(status="open", closed_at=None)
    Task.objects.update(status="cancelled", finished_at=timezone.now())
    assert complaints(app) == [f"open approval of a task that does not wait for a person: {task.pk}"]


def test_the_database_refuses_two_open_approvals_of_one_call(app: App) -> None:
    [approval] = open_ones(waiting(app))
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.create(task=approval.task, call=approval.call, kind="in_doubt", digest="x")


@pytest.mark.django_db(transaction=True)
def test_of_people_who_decide_at_once_one_wins(app: App) -> None:
    task = waiting(app)
    [approval] = open_ones(task)
    outcomes: list[str] = []
    start = threading.Barrier(4)

    def decide(name: str) -> None:
        try:
            with in_app("acme") as mine:
                seen = Approval.objects.select_related("task").get(pk=approval.pk)
                start.wait()
                approvals.decide(mine, seen, "run_again", by=person(name))
            outcomes.append("won")
        except AlreadyDecided:
            outcomes.append("refused")
        finally:
            connection.close()

    people = [threading.Thread(target=decide, args=(f"person-{number}",)) for number in range(4)]
    for one in people:
        one.start()
    for one in people:
        one.join(30)
    assert sorted(outcomes) == ["refused", "refused", "refused", "won"]
    assert Decision.objects.count() == 1
    assert QueueEntry.objects.count() == 1
    assert complaints(app) == []
