"""Pausing and resuming an agent and an App, and draining a worker."""

from __future__ import annotations

from apps.queue import workers
from apps.queue.models import QueueEntry
from tests.api.conftest import Person
from tests.support.work import wait_for, working


def test_a_paused_agent_starts_nothing_and_the_others_do(operator: Person) -> None:
    answer = operator.post("/agents/echo/pause", {"reason": "wrong prompt"})
    assert answer.status_code == 200
    said = answer.json()
    assert said["paused"]["reason"] == "wrong prompt" and said["paused"]["by"].startswith("app:acme/")
    waiting, other = operator.submits("echo"), operator.submits("clerk")
    with working():
        wait_for(lambda: operator.get(f"/tasks/{other['id']}").json()["status"] == "completed", what="the other ran")
        assert operator.get(f"/tasks/{waiting['id']}").json()["status"] == "pending"
        assert operator.post("/agents/echo/resume").json()["paused"] is None
        wait_for(lambda: operator.get(f"/tasks/{waiting['id']}").json()["status"] == "completed", what="it runs again")


def test_the_answer_says_what_it_does_to_what_there_is(operator: Person) -> None:
    for _ in range(3):
        operator.submits("echo")
    operator.submits("echo", run_at="2031-01-01T00:00:00Z")
    said = operator.post("/agents/echo/pause").json()
    assert (said["running"], said["waiting"], said["scheduled"]) == (0, 3, 1)
    assert said["effect"] == "0 tasks run on to their end; 3 wait; 1 is for later."


def test_agents_say_whether_they_are_paused(operator: Person, platform: Person) -> None:
    operator.post("/agents/echo/pause", {"reason": "mine"})
    paused = {agent["name"]: agent["paused"] for agent in operator.get("/agents").json()["results"]}
    assert paused["echo"]["reason"] == "mine" and paused["clerk"] is None
    platform.post("/admin/apps/acme/pause", {"reason": "all"})
    assert operator.get("/agents/clerk").json()["paused"]["reason"] == "all"
    platform.post("/admin/apps/acme/resume")
    assert operator.get("/agents/clerk").json()["paused"] is None
    assert operator.get("/agents/echo").json()["paused"]["reason"] == "mine"


def test_a_paused_app_waits_and_the_others_do_not(platform: Person, operator: Person, outsider: Person) -> None:
    before = operator.submits()
    said = platform.post("/admin/apps/acme/pause", {"reason": "too costly"}).json()
    assert (said["waiting"], said["paused"]["by"]) == (1, "operator")
    after, other = operator.submits(), outsider.submits()
    assert QueueEntry.objects.filter(app__name="acme", state="parked").count() == 2
    with working():
        wait_for(lambda: outsider.get(f"/tasks/{other['id']}").json()["status"] == "completed", what="the other ran")
        for task in (before, after):
            assert operator.get(f"/tasks/{task['id']}").json()["status"] == "pending"
        platform.post("/admin/apps/acme/resume")
        for task in (before, after):
            wait_for(lambda at=task["id"]: operator.get(f"/tasks/{at}").json()["status"] == "completed", what="it ran")


def test_a_parked_task_is_cancelled_and_leaves_the_queue(operator: Person) -> None:
    operator.post("/agents/echo/pause")
    task = operator.submits()
    assert operator.post(f"/tasks/{task['id']}/cancel").json()["status"] == "cancelled"
    assert not QueueEntry.objects.exists()


def test_what_is_not_there_is_not_paused(operator: Person, platform: Person) -> None:
    assert operator.post("/agents/nobody/pause").status_code == 404
    assert operator.post("/agents/nobody/resume").status_code == 404
    assert platform.post("/admin/apps/no-such/pause").status_code == 404
    assert platform.post("/admin/workers/999/drain").status_code == 404


def test_a_worker_is_drained(platform: Person) -> None:
    mine = workers.register(slots=8)
    answer = platform.post(f"/admin/workers/{mine.pk}/drain", {"reason": "new kernel"})
    assert (answer.status_code, answer.json()["draining"]) == (202, True)
    assert platform.get("/admin/workers").json()["results"][0]["draining"] is True
