"""Deleting an App: what runs is stopped, everything of it goes, and whoever dies meanwhile is stood in for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django_q.models import OrmQ

from apps.accounts.models import AuditRecord
from apps.queue import deletion, entries, holds, leases
from apps.queue.entries import NewEntry
from apps.queue.models import Hold, QueueEntry, Worker
from apps.tasks.models import Task, TaskStatus
from apps.tenancy import lifecycle, paths, secrets, tokens
from apps.tenancy.context import in_app
from apps.tenancy.errors import AppExists, AppNotFound, AppProtected
from apps.tenancy.models import App, Credential, Remains, Secret
from tests.support import agents, functions
from tests.support.work import ended, wait_for, working

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def shop(settings: Any) -> Iterator[App]:
    """An App with something of everything."""
    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    app = lifecycle.create("shop", by="tests")
    with in_app(app):
        agents.apply(
            app,
            agents.document({name: agents.function(name) for name in ("echo", "linger", "hold")}),
            by="tests",
        )
    secrets.put(app, "KEY", "value")
    tokens.issue_app_token("shop", by="tests")
    holds.hold(app, "echo", by="tests")
    (paths.workdir(app) / "file").write_text("content")
    entries.enqueue(app, [NewEntry(uuid4(), lane="echo"), NewEntry(uuid4(), lane="echo")])
    functions.stopped.clear()
    functions.release.clear()
    functions.calls.clear()
    yield app
    functions.release.set()


def starts(app: App, agent: str) -> Task:
    with in_app(app):
        task = agents.submit(app, agent)
    wait_for(lambda: functions.calls[agent], what=f"{agent} runs")
    return task


def is_gone(app: App) -> bool:
    """Whether nothing is left of it, in the database and on this host."""
    left = [model.objects.filter(app_id=app.pk).count() for model in (QueueEntry, Hold, Secret, Credential)]
    return not (
        any(left)
        or App.objects.filter(pk=app.pk).exists()
        or connection.schemas.exists(app.schema_name)
        or (paths.workdir(app) / "file").exists()
    )


def test_an_app_of_which_nothing_runs_is_gone_at_once(shop: App) -> None:
    assert deletion.delete(shop, by="anna", reason="cancelled their contract")
    assert is_gone(shop)
    record = AuditRecord.objects.get(action="app_deleted")
    assert (record.actor, record.app_name, record.reason) == ("anna", "shop", "cancelled their contract")


def test_what_runs_is_stopped_before_everything_goes(shop: App) -> None:
    with working():
        starts(shop, "linger")
        assert not deletion.delete(shop, by="anna")
        with pytest.raises(AppNotFound):
            lifecycle.get("shop")
        with pytest.raises(AppExists):
            lifecycle.create("shop", by="anna")
        functions.release.set()
        deletion.finish(shop.pk)
        assert functions.stopped.is_set()
    assert is_gone(shop)


def test_nothing_is_dropped_under_what_takes_its_time_to_stop(shop: App) -> None:
    def finish() -> None:
        try:
            deletion.finish(shop.pk)
        finally:
            connection.close()

    with working(), ThreadPoolExecutor(1) as pool:
        starts(shop, "hold")
        deletion.delete(shop, by="anna")
        ending = pool.submit(finish)
        with pytest.raises(FutureTimeout):
            ending.result(0.5)
        assert connection.schemas.exists(shop.schema_name)
        functions.release.set()
        ending.result(20)
    assert is_gone(shop)


def test_a_worker_host_is_told_to_end_it(shop: App) -> None:
    with working():
        starts(shop, "linger")
        deletion.delete(shop, by="anna")
        assert [row.func() for row in OrmQ.objects.all()] == ["apps.queue.deletion.finish"]
        functions.release.set()
        deletion.finish(shop.pk)


def test_work_that_does_not_stop_in_time_loses_its_lease_and_the_worker_goes_on(
    shop: App, app: App, settings: Any
) -> None:
    settings.HECTOR_GRACE = 0.3
    agents.apply(app, agents.document({"echo": agents.function("echo")}), by="tests")
    with working():
        starts(shop, "hold")
        assert not deletion.delete(shop, by="anna")
        deletion.finish(shop.pk)
        assert is_gone(shop)
        functions.release.set()
        assert ended(agents.submit(app, "echo")).status == TaskStatus.COMPLETED


def test_what_was_claimed_at_that_very_moment_does_no_harm(shop: App, worker: Worker, app: App) -> None:
    entries.enqueue(shop, [NewEntry(uuid4(), lane="other")])
    [lease] = leases.claim(worker.pk, 1)
    lifecycle.delete(shop, by="anna")
    assert leases.finish([lease]) == set()


def test_of_two_who_delete_it_at_once_one_does(shop: App) -> None:
    with working():
        starts(shop, "linger")
        assert not deletion.delete(shop, by="anna")
        with pytest.raises(AppNotFound):
            deletion.delete(shop, by="otto")
        functions.release.set()
        deletion.finish(shop.pk)
    assert AuditRecord.objects.get(action="app_deleted").actor == "anna"


def test_the_default_app_stays() -> None:
    with pytest.raises(AppProtected):
        deletion.delete(lifecycle.get("default"), by="anna")
    assert lifecycle.get("default").status == "active" and not Hold.objects.exists()


KILLED_BEFORE = {
    "the hold is written": (holds, "write"),
    "work is stopped": (deletion, "_stop_work"),
    "anything is removed": (lifecycle, "remove"),
    "its rows are": (lifecycle, "_remove_rows_of"),
    "its App's row is": (lifecycle, "_remove_row"),
    "its files are": (paths, "remove"),
}


@pytest.mark.parametrize("step", KILLED_BEFORE)
def test_a_deletion_that_was_killed_is_ended_by_the_sweep(shop: App, step: str) -> None:
    child = os.fork()
    if child == 0:
        module, name = KILLED_BEFORE[step]
        setattr(module, name, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
        try:
            deletion.delete(shop, by="anna")
        finally:
            os._exit(1)  # it should have been killed
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if step == "the hold is written":
        assert lifecycle.get("shop").status == "active"  # it was never said to be deleted
        return
    deletion.sweep()
    paths.remove(paths.remains())  # which each host does by itself
    assert is_gone(shop)
    lifecycle.create("shop", by="anna")


def test_remains_are_forgotten_after_a_time(shop: App, monkeypatch: pytest.MonkeyPatch) -> None:
    deletion.delete(shop, by="anna")
    deletion.sweep()
    assert Remains.objects.count() == 1
    monkeypatch.setattr(deletion, "FORGOTTEN_AFTER", deletion.FORGOTTEN_AFTER * 0)
    deletion.sweep()
    assert not Remains.objects.exists()
