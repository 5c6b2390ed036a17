"""/admin/queue and /admin/workers."""

from __future__ import annotations

import pytest

from apps.accounts.models import AuditRecord
from apps.queue import leases, workers
from apps.tasks.models import Task
from apps.tenancy.context import in_app
from tests.api.conftest import Person
from tests.support.work import wait_for, working


def test_the_queue_is_counted_by_state_and_app(platform: Person, admin: Person, outsider: Person) -> None:
    admin.submits()
    admin.submits(run_at="2031-01-01T00:00:00Z")
    outsider.submits()
    queue = platform.get("/admin/queue").json()
    assert 0 <= queue.pop("oldest_ready_seconds") < 60
    none = {"ready": 0, "scheduled": 0, "leased": 0, "parked": 0}
    assert queue == {
        **none,
        "ready": 2,
        "scheduled": 1,
        "paused": False,
        "reason": "",
        "max_concurrent": None,
        "running": 0,
        "apps": {"acme": none | {"ready": 1, "scheduled": 1}, "globex": none | {"ready": 1}},
    }


def test_an_empty_queue_has_no_oldest(platform: Person) -> None:
    queue = platform.get("/admin/queue").json()
    assert (queue["ready"], queue["oldest_ready_seconds"], queue["apps"]) == (0, None, {})


def test_nothing_is_claimed_while_the_queue_is_paused(platform: Person) -> None:
    paused = platform.post("/admin/queue/pause", {"reason": "maintenance"}).json()
    assert (paused["paused"], paused["reason"]) == (True, "maintenance")
    task = platform.submits()
    with working():
        wait_for(lambda: platform.get("/admin/workers").json()["results"], what="a worker is on shift")
        assert platform.get(f"/tasks/{task['id']}").json()["status"] == "pending"
        resumed = platform.post("/admin/queue/resume").json()
        assert (resumed["paused"], resumed["reason"]) == (False, "")
        wait_for(lambda: platform.get(f"/tasks/{task['id']}").json()["status"] == "completed", what="completed")
    with in_app("acme"):
        assert Task.objects.get().attempt == 1


def test_workers_on_shift_are_listed(platform: Person) -> None:
    mine, gone = workers.register(slots=8), workers.register(slots=4)
    workers.sign_off(gone.pk)
    (seen,) = platform.get("/admin/workers").json()["results"]
    assert (seen["id"], seen["host"], seen["slots"], seen["running"]) == (mine.pk, workers.host_name(), 8, 0)


def test_the_installations_limit_is_set_changed_and_lifted(platform: Person) -> None:
    assert (
        platform.patch("/admin/queue", {"max_concurrent": 1, "reason": "a small machine"}).json()["max_concurrent"] == 1
    )
    record = AuditRecord.objects.get(action="queue_limited")
    assert (record.reason, record.details) == ("a small machine", {"max_concurrent": 1})
    tasks = [platform.submits() for _ in range(2)]
    worker = workers.register(slots=4)
    assert len(leases.claim(worker.pk, 4)) == 1
    assert platform.get("/admin/queue").json()["running"] == 1
    assert platform.patch("/admin/queue", {"max_concurrent": None}).json()["max_concurrent"] is None
    assert len(leases.claim(worker.pk, 4)) == len(tasks) - 1


@pytest.mark.parametrize("body", [{}, {"max_concurrent": 0}, {"max_concurrent": "1"}, {"max_concurrent": 1, "x": 1}])
def test_a_limit_that_cannot_be_is_refused(platform: Person, body: dict[str, object]) -> None:
    assert platform.patch("/admin/queue", body).status_code == 400
