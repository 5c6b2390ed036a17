"""The life of an App: steps that workers, people and accidents take, and what must be true after each of them.

Each step knows what it should have done. `Life.happened` counts what was done, for a life in which little happens
shows little.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from apps.approvals import lifecycle as approvals
from apps.approvals.choices import choices
from apps.approvals.errors import AlreadyDecided, DecisionNotPossible
from apps.approvals.models import Approval, Decision
from apps.queue import holds, leases, workers
from apps.queue.models import Hold, QueueEntry, Worker
from apps.tasks import checkpoints, dead_letters, forks, journal, lifecycle, recovery, replay
from apps.tasks.dead_letters import LetterResolved
from apps.tasks.errors import IllegalTransition, NotResumable, NotUnique, TaskError
from apps.tasks.integrity import complaints
from apps.tasks.journal import Change, NewCheckpoint, Run, Settlement
from apps.tasks.lifecycle import Started
from apps.tasks.models import (
    FINAL,
    LIVE,
    Attempt,
    Checkpoint,
    DeadLetter,
    Task,
    TaskStatus,
    UniquePeriod,
    UniqueScope,
)
from apps.tasks.recovery import Repairs
from apps.tenancy.models import App
from tests.support.agents import submit
from tests.support.people import ANNA
from tests.support.rows import rows

AGENTS = ("agent", "other")
ENDED = ("failed", "cancelled")  # what may be retried
BUSY = TaskError("busy", "busy", retryable=True)
MOST = 6  # tasks of one life
Kind, Verb = Checkpoint.Kind, Decision.Verb
MARKS = {  # what a decision leaves in the journal
    Verb.APPROVE: Kind.TOOL_DECIDED, Verb.RUN_AGAIN: Kind.TOOL_DECIDED, Verb.REJECT: Kind.TOOL_RESULT,
    Verb.ANSWER: Kind.TOOL_RESULT, Verb.RAN: Kind.TOOL_RESULT,
}  # fmt: skip
FAILING = {(Approval.Kind.IN_DOUBT, Verb.FAIL), (Approval.Kind.BUDGET, Verb.REJECT)}


@dataclass(frozen=True)
class Step:
    name: str
    weight: int  # how often it is taken, in proportion, where it is possible
    possible: Callable[[Life], Any]


STEPS: list[Step] = []


def step(weight: int, possible: Callable[[Life], Any] = lambda life: True) -> Callable[[Any], Any]:
    def register(method: Any) -> Any:
        STEPS.append(Step(method.__name__, weight, possible))
        return method

    return register


def live_journal(task: Task, *, up_to: int | None = None, without: Sequence[str] = ()) -> list[tuple[str, str]]:
    points = checkpoints.of(task).exclude(kind__in=without)
    return list((points if up_to is None else points.filter(seq__lte=up_to)).values_list("kind", "key"))


class Life:
    """One App's tasks, two workers and what each of them believes it is running."""

    def __init__(self, app: App, dice: Random, happened: Counter[str]) -> None:
        self.app = app
        self.dice = dice
        self.happened = happened
        self.workers = [workers.register(slots=4), workers.register(slots=4)]
        # What each run has handed in, and whether it was accepted; also the runs that have lost their lease since: a
        # frozen worker still believes in them.
        self.changes: dict[Run, list[tuple[Change, bool]]] = {}
        self.accepted: list[UUID] = []  # the tasks
        self.final: dict[UUID, str] = {}
        self.steps: list[str] = []  # that were taken
        self.look()

    def go_on(self) -> None:
        """Takes one of the steps that are possible."""
        possible = [each for each in STEPS if each.possible(self)]
        [chosen] = self.dice.choices(possible, [each.weight for each in possible])
        self.steps.append(chosen.name)
        getattr(self, chosen.name)()
        self.look()
        self.check()

    def did(self, *what: str) -> None:
        self.happened.update(what)

    # --- What there is, and what must be true of it -----------------------------------------------------------------
    def look(self) -> None:
        tasks = Task.objects.in_bulk()
        assert set(tasks) == set(self.accepted), "a task was lost, or came from nowhere"
        self.tasks = [tasks[key] for key in self.accepted]
        self.entries = {entry.key: entry for entry in QueueEntry.objects.order_by("id")}
        self.holds = sorted(Hold.objects.values_list("lane", flat=True))
        asked = sorted(Approval.objects.all(), key=lambda asked: (self.accepted.index(asked.task_id), asked.pk))
        self.open = [approval for approval in asked if approval.status == Approval.Status.OPEN]
        self.closed = [approval for approval in asked if approval.status != Approval.Status.OPEN]

    def check(self) -> None:
        assert complaints(self.app) == []
        began = Counter(run.task_id for run in self.changes)
        ended = Counter(Attempt.objects.values_list("task", flat=True))
        for task in self.tasks:
            assert began[task.pk] - ended[task.pk] == (task.status == TaskStatus.RUNNING), "an attempt is not on record"
            assert self.final.get(task.pk, task.status) == task.status, "a final state changed"
            if task.status in FINAL:
                self.final[task.pk] = task.status
            assert (task.waiting_since is not None) == (task.status == TaskStatus.INPUT_REQUIRED)
            assert task.attempt <= task.max_retries + 1
        for entry in self.entries.values():
            task = self.task(entry.key)
            assert entry.epoch >= task.epoch
            if entry.state == "leased":
                assert (task.status, task.epoch) == (TaskStatus.RUNNING, entry.epoch)
            elif entry.state != "scheduled":
                assert (entry.state == "parked") == self.is_held(task), "what waits is parked while it is held"

    def task(self, key: UUID) -> Task:
        return self.tasks[self.accepted.index(key)]

    def of(self, *statuses: str) -> list[Task]:
        return [task for task in self.tasks if task.status in statuses]

    def with_journal(self, tasks: list[Task]) -> list[Task]:
        return [task for task in tasks if task.last_checkpoint > task.journal_start]

    def in_state(self, state: str) -> list[QueueEntry]:
        return [entry for entry in self.entries.values() if entry.state == state]

    def is_held(self, task: Task) -> bool:
        return "" in self.holds or task.agent in self.holds

    def owns(self, run: Run) -> bool:
        entry = self.entries.get(run.task_id)
        lease = (entry.state, entry.epoch, entry.worker_id) if entry else None
        return lease == ("leased", run.epoch, run.lease.worker_id)

    def refused(self, error: type[Exception], verb: Callable[[], object]) -> None:
        before = rows()
        with pytest.raises(error):
            verb()
        assert rows() == before, "what was refused has changed something"
        self.did(f"refused: {error.__name__}")

    def is_taken(self, key: str | None, scope: str, *, by_other_than: Task | None = None) -> bool:
        """Whether another task has the unique key."""
        if scope == UniqueScope.PERIOD:
            return UniquePeriod.objects.filter(key=key).exists()
        having = [task for task in self.of(*LIVE) if (task.unique_key, task.unique_scope) == (key, scope)]
        if scope == UniqueScope.PENDING:
            having = [task for task in having if task.status == TaskStatus.PENDING and task.started_at is None]
        return any(by_other_than is None or task.pk != by_other_than.pk for task in having)

    # --- Tasks come in ----------------------------------------------------------------------------------------------
    @step(8, lambda life: len(life.tasks) < MOST)
    def submit(self) -> None:
        agent, key = self.dice.choice(AGENTS), self.dice.choice([None, "k"])
        scope = self.dice.choice([UniqueScope.ACTIVE, *UniqueScope])
        period = {"unique_period": 3600.0} if scope == UniqueScope.PERIOD else {}
        unique: dict[str, Any] = {"unique_key": key, "unique_scope": scope, **period} if key else {}

        def verb() -> None:
            self.accepted.append(submit(self.app, agent, max_retries=self.dice.randint(0, 3), **unique).pk)

        if key and self.is_taken(key, scope):
            return self.refused(NotUnique, verb)
        verb()
        self.did("submitted with a unique key" if key else "submitted")
        if {"", agent} & set(self.holds):
            self.did("submitted while held")

    @step(4, lambda life: life.tasks and len(life.tasks) < MOST)
    def fork(self) -> None:
        parent = self.dice.choice(self.with_journal(self.tasks) or self.tasks)
        points = list(replay.points(parent).values_list("seq", flat=True))
        point = self.dice.choice(points) if points and self.dice.random() < 0.8 else None
        expected = live_journal(parent, up_to=point or 0, without=(Kind.TOOL_DECIDED, Kind.LIMIT_RAISED))
        child = forks.fork(self.app, parent, by="anna", from_checkpoint=point, newest=self.dice.random() < 0.5)
        self.accepted.append(child.pk)
        assert (child.status, live_journal(child)) == (TaskStatus.PENDING, expected)
        assert (child.last_checkpoint, child.checkpoints.count()) == (len(expected), len(expected))
        self.did("forked" if point is None else "forked from a checkpoint")
        if self.is_held(child):
            self.did("forked while held")

    # --- Workers ----------------------------------------------------------------------------------------------------
    @step(24, lambda life: life.in_state("ready"))
    def claim(self) -> None:
        worker = self.dice.choice(self.workers)
        [lease] = leases.claim(worker.pk, 1)
        begun = self.begin(lease, worker)
        if not begun:
            return self.did("ended instead of begun")
        if self.dice.random() < 0.1:  # the answer to the commit was lost
            before = rows()
            again = self.begin(lease, worker)
            assert rows() == before, "an attempt has begun twice"
            assert [started.checkpoints for started in again] == [started.checkpoints for started in begun]
            self.did("begun again")
        [started] = begun
        self.changes[Run(started.task.pk, started.task.agent, started.task.attempt, lease)] = []
        self.did("begun")

    def begin(self, lease: leases.Lease, worker: Worker) -> list[Started]:
        return [started for _, started in lifecycle.begin(self.app, [lease], str(worker))]

    def runs(self, *, owning: bool) -> list[Run]:
        return [run for run in self.changes if self.owns(run) == owning]

    def write(self, run: Run, new: Sequence[NewCheckpoint] = (), settlement: Settlement | None = None) -> None:
        """Hands in the run's next change, which is refused if, and only if, it has lost its lease."""
        change = Change(run, list(new), settlement=settlement, number=len(self.changes[run]) + 1)
        owned, before = self.owns(run), None if self.owns(run) else rows()
        [refused] = journal.commit(self.app, [change])
        self.changes[run].append((change, refused is None))
        assert (refused is None) == owned
        if not owned:
            assert rows() == before, "a run that has lost its lease has written"
            self.did("refused: LostLease")

    def turn(self, run: Run, *, ended: str = "", started: str = "") -> list[NewCheckpoint]:
        """The checkpoints of a model turn with some calls. Their ids are the same in every turn."""
        number = checkpoints.of(self.task(run.task_id)).filter(kind=Kind.MODEL).count() + 1
        calls = [
            {"part_kind": "tool-call", "tool_name": "charge", "tool_call_id": call} for call in ended + started + "z"
        ]
        said = NewCheckpoint(Kind.MODEL, f"model:{number}", {"messages": [{"parts": calls}]})
        begun = [NewCheckpoint(Kind.TOOL_STARTED, checkpoints.call_key(number, call), {}) for call in ended + started]
        result = {"kind": "value", "value": 1}
        answers = [NewCheckpoint(Kind.TOOL_RESULT, checkpoints.call_key(number, call), result) for call in ended]
        return [said, *begun, *answers]

    @step(6, lambda life: life.runs(owning=True))
    def work_on(self) -> None:
        run = self.dice.choice(self.runs(owning=True))
        self.write(run, self.turn(run, ended="a", started=self.dice.choice(["", "b"])))
        self.did("worked on")

    @step(20, lambda life: life.runs(owning=True))
    def ask(self) -> None:
        """The run waits for decisions about some calls of a turn."""
        run, count = self.dice.choice(self.runs(owning=True)), self.dice.randint(1, 3)
        turn = self.turn(run, started="abc"[:count], ended=self.dice.choice(["", "d"]))
        doubted = [point.key for point in turn if point.kind == Kind.TOOL_STARTED][-count:]
        kind = self.dice.choice([*Approval.Kind, *[Approval.Kind.IN_DOUBT] * 3])
        about = {"limit": "requests", "value": 5, "raise_by": 5} if kind == Approval.Kind.BUDGET else {"amount": 5}
        calls = [approvals.Call(kind, key, "charge", about) for key in doubted]
        stops = self.task(run.task_id).cancel_requested_at is not None
        self.write(run, turn, approvals.ask(self.app, run, calls))
        expected = TaskStatus.CANCELLED if stops else TaskStatus.INPUT_REQUIRED
        assert Task.objects.get(pk=run.task_id).status == expected
        self.did("asked too late" if stops else "asked" if count == 1 else "asked about several calls")

    @step(20, lambda life: life.runs(owning=True))
    def end(self) -> None:
        run = self.dice.choice(self.runs(owning=True))
        settlement = self.dice.choice(self.ends(run))
        self.write(run, settlement=settlement)
        assert Task.objects.get(pk=run.task_id).status == settlement.status
        self.did(f"ended: {settlement.outcome}, {settlement.entry}")
        if settlement.entry == "give_back" and self.is_held(self.task(run.task_id)):
            self.did("handed back while held")

    def ends(self, run: Run) -> list[Settlement]:
        later = [journal.retry_later(run, BUSY, 3600.0)] if run.attempt <= self.task(run.task_id).max_retries else []
        over = [journal.complete(run, "done"), journal.fail(run, BUSY), journal.cancelled(run)]
        return [*over, *[journal.hand_back(run)] * 2, *later * 3]

    @step(2, lambda life: life.runs(owning=False))
    def write_without_a_lease(self) -> None:
        run = self.dice.choice(self.runs(owning=False))
        if self.dice.random() < 0.5:
            self.write(run, self.turn(run, ended="a"))
        else:
            self.write(run, settlement=self.dice.choice(self.ends(run)))

    @step(4, lambda life: any(life.changes.values()))
    def repeat_a_change(self) -> None:
        """A worker that got no answer to its commit hands the same change in again."""
        run = self.dice.choice([run for run, changes in self.changes.items() if changes])
        change, accepted = self.changes[run][-1]
        before = rows()
        [refused] = journal.commit(self.app, [change])
        assert rows() == before, "a change was written twice"
        if accepted and self.task(run.task_id).epoch == run.epoch:
            assert refused is None
            self.did("handed in again")

    @step(12, lambda life: life.in_state("leased"))
    def lose_a_worker(self) -> None:
        owner = self.dice.choice(self.in_state("leased")).worker_id
        [lost] = [worker for worker in self.workers if worker.pk == owner]
        self.workers[self.workers.index(lost)] = workers.register(slots=4)
        dies = self.dice.random() < 0.5
        if dies:
            Worker.objects.filter(pk=lost.pk).update(heartbeat_at=timezone.now() - timedelta(hours=1))
            workers.sign_off_stale()
        else:
            workers.sign_off(lost.pk)
        assert leases.claim(lost.pk, 1) == []
        held = any(self.is_held(self.task(key)) for key, entry in self.entries.items() if entry.worker_id == lost.pk)
        self.did("a worker died" if dies else "a worker left", *["lost a worker while held"] * held)

    @step(1, lambda life: life.entries)
    def lose_an_entry(self) -> None:
        """As where a machine stops between the commits of two SQLite files."""
        QueueEntry.objects.filter(key=self.dice.choice(list(self.entries))).delete()
        assert recovery.repair(self.app) == Repairs(enqueued=1)
        self.did("repaired")

    @step(1)
    def sweep(self) -> None:
        """It finds nothing to do."""
        assert (recovery.repair(self.app), holds.sweep()) == (Repairs(), 0)
        self.did("swept")

    # --- Time passes ------------------------------------------------------------------------------------------------
    @step(10, lambda life: life.in_state("scheduled"))
    def promote(self) -> None:
        due = self.in_state("scheduled")
        QueueEntry.objects.filter(state="scheduled").update(run_at=timezone.now() - timedelta(seconds=1))
        assert leases.promote_due() == len(due)
        self.did("promoted", *["promoted while held"] * any(self.is_held(self.task(entry.key)) for entry in due))

    @step(1, lambda life: life.of("pending", "running"))
    def miss_a_deadline(self) -> None:
        task = self.dice.choice(self.of("pending", "running"))
        Task.objects.filter(pk=task.pk).update(deadline=timezone.now() - timedelta(seconds=1))
        self.did("missed a deadline")

    # --- People -----------------------------------------------------------------------------------------------------
    @step(20, lambda life: life.open)
    def decide(self) -> None:
        approval = self.dice.choice(self.open)
        verb, choice = self.dice.choice(
            [item for item in choices(approval).items() for _ in range(2 if (approval.kind, item[0]) in FAILING else 1)]
        )
        before = live_journal(approval.task)
        self.decide_so(approval, verb)
        assert approval.status == choice.closes_as
        others = [asked for asked in self.open if asked.task_id == approval.task_id and asked.pk != approval.pk]
        task = Task.objects.get(pk=approval.task_id)
        fails = (approval.kind, verb) in FAILING
        if fails:
            assert (task.status, live_journal(task)) == (TaskStatus.FAILED, before)
        else:
            assert task.status == (TaskStatus.INPUT_REQUIRED if others else TaskStatus.PENDING)
            mark = Kind.LIMIT_RAISED if approval.kind == Approval.Kind.BUDGET else MARKS[verb]
            assert live_journal(task) == [*before, (mark, approval.call)]
        self.did(f"decided: {verb}", *["failed while others are asked about"] * bool(fails and others))
        if task.status == TaskStatus.PENDING:
            self.did("resumed while held" if self.is_held(task) else "resumed")

    def decide_so(self, approval: Approval, verb: Decision.Verb) -> None:
        choice = choices(approval).get(verb)
        answer = {"paid": 5} if choice and choice.takes_answer else None
        approvals.decide(self.app, approval, verb, by=ANNA, answer=answer)

    @step(1, lambda life: life.closed)
    def decide_too_late(self) -> None:
        approval = self.dice.choice(self.closed)
        verb = self.dice.choice(list(choices(approval)))
        self.refused(AlreadyDecided, lambda: self.decide_so(approval, verb))

    @step(2, lambda life: life.open)
    def decide_the_impossible(self) -> None:
        approval = self.dice.choice(self.open)
        verb = self.dice.choice([verb for verb in Verb if verb not in choices(approval)])
        self.refused(DecisionNotPossible, lambda: self.decide_so(approval, verb))

    @step(16, lambda life: life.to_be_held())
    def hold(self) -> None:
        lane = self.dice.choice(["", *[task.agent for task in self.to_be_held()]])
        holds.hold(self.app, lane, by="anna")
        self.did("held an agent" if lane else "held the App")

    def to_be_held(self) -> list[Task]:
        """Where a hold is about more than what waits for a worker already."""
        waiting = {entry.key for entry in self.in_state("ready")}
        return [task for task in self.of(*LIVE) if task.pk not in waiting and not self.is_held(task)]

    @step(8, lambda life: life.holds)
    def lift(self) -> None:
        parked = len(self.in_state("parked"))
        lanes = self.holds if self.dice.random() < 0.6 else [self.dice.choice(self.holds)]
        for lane in lanes:
            holds.lift(self.app, lane, by="anna")
        self.did("lifted", *["lifted what waits"] * bool(parked))

    @step(5, lambda life: life.of(*LIVE))
    def cancel(self) -> None:
        task = self.dice.choice(self.of("running", "input_required") or self.of("pending"))
        was = task.status
        lifecycle.cancel(self.app, task, by="anna")
        assert task.status == (TaskStatus.RUNNING if was == TaskStatus.RUNNING else TaskStatus.CANCELLED)
        self.did(f"cancelled: {was}")

    @step(2, lambda life: life.tasks)
    def do_what_the_state_forbids(self) -> None:
        task = self.dice.choice(self.tasks)
        if task.status in FINAL:
            self.refused(IllegalTransition, lambda: lifecycle.cancel(self.app, task, by="anna"))
        if task.status not in ENDED:
            self.refused(IllegalTransition, lambda: lifecycle.retry(self.app, task, by="anna"))

    @step(8, lambda life: life.of(*ENDED))
    def retry(self) -> None:
        task, new_input = self.dice.choice(self.of(*ENDED)), self.new_input()
        expected = live_journal(task) if new_input is None else []
        if self.retried(task, lambda: lifecycle.retry(self.app, task, by="anna", new_input=new_input)):
            assert live_journal(task) == expected
            self.did("retried" if new_input is None else "retried with another input")

    @step(8, lambda life: life.with_journal(life.of(*ENDED)))
    def retry_from_a_checkpoint(self) -> None:
        task, new_input = self.dice.choice(self.with_journal(self.of(*ENDED))), self.new_input()
        possible = list(replay.points(task).values_list("seq", flat=True))
        point = self.dice.choice([*possible, *possible, self.dice.randint(1, 9)])
        expected = live_journal(task, up_to=point, without=(Kind.TOOL_DECIDED,))

        def verb() -> object:
            return lifecycle.retry(self.app, task, by="anna", from_checkpoint=point, new_input=new_input)

        if point not in possible:
            return self.refused(NotResumable, verb)
        if self.retried(task, verb):
            assert live_journal(task) == expected
            self.did("retried from a checkpoint")

    @step(12, lambda life: life.of("failed"))
    def resolve_a_letter(self) -> None:
        letter = DeadLetter.objects.filter(task=self.dice.choice(self.of("failed"))).latest("pk")
        if letter.status != DeadLetter.Status.OPEN:
            self.refused(LetterResolved, lambda: dead_letters.discard(self.app, letter, by="anna"))
        elif self.dice.random() < 0.5:
            dead_letters.discard(self.app, letter, by="anna")
            self.did("discarded a letter")
        elif self.retried(self.task(letter.task_id), lambda: dead_letters.retry(self.app, letter, by="anna")):
            self.did("retried a letter")

    def new_input(self) -> str | None:
        return self.dice.choice([None, None, "other"])

    def retried(self, task: Task, verb: Callable[[], object]) -> bool:
        needs_key = task.unique_scope == UniqueScope.ACTIVE or (
            task.unique_scope == UniqueScope.PENDING and task.started_at is None
        )
        if needs_key and self.is_taken(task.unique_key, task.unique_scope, by_other_than=task):
            self.refused(NotUnique, verb)
            self.did("refused a retry whose key is taken")
            return False
        del self.final[task.pk]
        verb()
        task.refresh_from_db()
        assert (task.status, task.attempt, task.error) == (TaskStatus.PENDING, 0, None)
        if self.is_held(task):
            self.did("retried while held")
        return True
