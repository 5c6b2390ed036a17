"""Whatever workers, people and accidents do, in any order: the invariants hold and a final state never changes.

The lives are the same in every run of the test; other SEEDS are other lives. `pytest -rP` shows what has happened.
"""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from django.db import transaction

from apps.tenancy.models import App
from tests.support.agents import apply, document, function
from tests.tasks.life import AGENTS, Life

SEEDS = range(24)
LENGTH = 45  # steps of each life
LEAST = 3  # times that each of these must have happened in all lives together, for the test to show anything about it
WANTED = """
submitted / submitted with a unique key / submitted while held / refused: NotUnique
forked / forked from a checkpoint / forked while held
begun / begun again / ended instead of begun / worked on / handed in again / refused: LostLease
asked / asked about several calls / asked too late
decided: approve / decided: reject / decided: answer / decided: ran / decided: run_again / decided: fail
failed while others are asked about
resumed / resumed while held / refused: AlreadyDecided / refused: DecisionNotPossible
ended: completed, finish / ended: failed, finish / ended: failed, reschedule / ended: cancelled, finish
ended: released, give_back / handed back while held / promoted / promoted while held
a worker died / a worker left / lost a worker while held / repaired / swept / missed a deadline
held the App / held an agent / lifted / lifted what waits
cancelled: pending / cancelled: running / cancelled: input_required / refused: IllegalTransition
retried / retried with another input / retried from a checkpoint / retried while held
refused a retry whose key is taken / refused: NotResumable
retried a letter / discarded a letter / refused: LetterResolved
"""


@pytest.mark.sampled("sqlite")
def test_the_invariants_hold_after_every_step(app: App) -> None:
    apply(app, document({name: function("echo") for name in AGENTS}), by="tests")
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        with transaction.atomic():
            life = Life(app, Random(seed), happened)
            try:
                for _ in range(LENGTH):
                    life.go_on()
            except BaseException as error:
                error.add_note(f"life {seed}: {', '.join(life.steps)}")
                raise
            transaction.set_rollback(True)
    for what, times in happened.most_common():
        print(f"{times:5} {what}")
    wanted = {what.strip() for line in WANTED.strip().splitlines() for what in line.split(" / ")}
    assert {what: happened[what] for what in wanted if happened[what] < LEAST} == {}
