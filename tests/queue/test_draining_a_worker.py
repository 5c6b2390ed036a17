"""An operator drains one worker: it claims nothing any more, what it runs ends, and then it is off shift."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.queue import leases, workers
from apps.queue.models import Worker
from apps.tasks.models import TaskStatus
from apps.tenancy.models import App
from tests.queue.test_entries_and_leases import put
from tests.support import functions
from tests.support.agents import apply, document, function, submit
from tests.support.transitions import fresh
from tests.support.work import ended, wait_for, working


@pytest.mark.django_db
def test_a_worker_that_drains_is_given_nothing(worker: Worker, acme: App) -> None:
    put(acme, 2)
    assert len(leases.claim(worker.pk, 1)) == 1
    assert not workers.beat(worker.pk)
    assert workers.drain(worker.pk, by="anna")
    assert leases.claim(worker.pk, 1) == []
    assert workers.beat(worker.pk)


@pytest.mark.django_db
def test_only_a_worker_on_shift_is_drained(worker: Worker) -> None:
    workers.sign_off(worker.pk)
    assert not workers.drain(worker.pk, by="anna")


@pytest.fixture
def _held(settings) -> Iterator[None]:  # type: ignore[no-untyped-def]
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    settings.HECTOR_GRACE = 6.0
    settings.HECTOR_QUEUE_STALE_THRESHOLD = 2.0  # so that it beats every half second
    functions.calls.clear()
    functions.release.clear()
    yield
    functions.release.set()


@pytest.mark.django_db(transaction=True)
def test_what_a_drained_worker_runs_ends_and_its_shift_with_it(app: App, _held: None) -> None:
    apply(app, document({"hold": function("hold"), "echo": function("echo")}), by="tests")
    task = submit(app, "hold")
    with working():
        wait_for(lambda: functions.calls["hold"], what="the task runs")
        worker = Worker.objects.get(stopped_at=None)
        workers.drain(worker.pk, by="anna")
        later = submit(app, "echo")
        functions.release.set()
        ended(task)
        wait_for(lambda: not Worker.objects.filter(stopped_at=None).exists(), what="the worker is off shift")
        assert fresh(later).status == TaskStatus.PENDING
    assert (task.status, task.attempt) == (TaskStatus.COMPLETED, 1)
