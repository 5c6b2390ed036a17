"""/admin/queue and /admin/workers."""

from __future__ import annotations

from apps.queue import workers
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
