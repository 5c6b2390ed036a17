"""Tasks that have failed, and so have dead letters."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from apps.queue.models import Worker
from apps.tasks import journal
from apps.tasks.errors import TaskError
from apps.tasks.models import DeadLetter
from apps.tenancy.models import App
from tests.support import agents
from tests.support.transitions import settle, start


def letter(
    app: App, worker: Worker, agent: str = "agent", message: str = "it broke", *, code: str = "broken",
    value: Any = "hello", **error: Any,
) -> DeadLetter:  # fmt: skip
    """The dead letter of a task that was submitted, run and has failed. Nothing else may wait to be run."""
    task = agents.submit(app, agent, value)
    with transaction.atomic():
        run = start(app, worker)
        assert run and run.task_id == task.pk
        assert settle(app, run, journal.fail(run, TaskError(code, message, **error))) is None
    return DeadLetter.objects.get(task=task)


def letters(app: App, worker: Worker, count: int, **options: Any) -> list[DeadLetter]:
    """So many of one group."""
    return [letter(app, worker, message=f"order {number} broke", **options) for number in range(count)]


def fresh(letter: DeadLetter) -> DeadLetter:
    letter.refresh_from_db()
    return letter
