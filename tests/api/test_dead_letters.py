"""Dead letters over HTTP: listed, grouped, retried, discarded, in bulk."""

from __future__ import annotations

from typing import Any

import pytest

from apps.queue import workers
from apps.queue.models import Worker
from apps.tasks.models import Attempt, DeadLetter
from apps.tenancy.context import in_app
from tests.api.conftest import Person, pointers
from tests.support import letters
from tests.support.work import wait_for, working


@pytest.fixture
def worker(world: None) -> Worker:
    return workers.register(slots=4)


@pytest.fixture
def filed(worker: Worker) -> list[int]:
    """The ids of three letters of one group and one of another."""
    with in_app("acme") as app:
        made = letters.letters(app, worker, 3, agent="echo")
        made.append(letters.letter(app, worker, "clerk", "no such card", code="card"))
        Attempt.objects.update(traceback="File secret.py")
        workers.sign_off(worker.pk)
        return [letter.pk for letter in made]


def ids(answer: Any) -> list[int]:
    return [letter["id"] for letter in answer.json()["results"]]


def over(person: Person, operation: dict[str, Any]) -> dict[str, Any]:
    """The operation, once the workers are done with it."""

    def look() -> dict[str, Any] | None:
        now: dict[str, Any] = person.get(f"/dead-letters/operations/{operation['id']}").json()
        return now if now["status"] != "running" else None

    with working():
        return wait_for(look, what="the operation is over") or {}


def test_a_letter_tells_what_failed_and_how_often(viewer: Person, filed: list[int]) -> None:
    letter = viewer.get("/dead-letters").json()["results"][0]
    assert (letter["id"], letter["agent"], letter["status"]) == (filed[3], "clerk", "open")
    assert letter["error"] == {"code": "card", "message": "no such card", "retryable": False}
    assert [attempt["number"] for attempt in letter["attempts"]] == [1]
    assert (letter["resolved_at"], letter["resolved_by"], letter["reason"]) == (None, "", "")
    assert viewer.get(f"/tasks/{letter['task']}").json()["status"] == "failed"


def test_tracebacks_are_for_the_operator_of_the_installation_only(
    platform: Person, admin: Person, filed: list[int]
) -> None:
    assert platform.get("/dead-letters").json()["results"][0]["attempts"][0]["traceback"] == "File secret.py"
    assert b"secret.py" not in admin.get("/dead-letters").content
    assert b"secret.py" not in admin.post(f"/dead-letters/{filed[0]}/discard").content


def test_letters_are_filtered_and_paged_newest_first(viewer: Person, operator: Person, filed: list[int]) -> None:
    group = viewer.get("/dead-letters?agent=echo").json()["results"][0]["fingerprint"]
    operator.post(f"/dead-letters/{filed[0]}/discard", {"reason": "a test"})
    assert ids(viewer.get("/dead-letters")) == filed[::-1]
    assert ids(viewer.get("/dead-letters?status=open")) == [filed[3], filed[2], filed[1]]
    assert ids(viewer.get("/dead-letters?status=discarded")) == [filed[0]]
    assert ids(viewer.get(f"/dead-letters?fingerprint={group}&status=open")) == [filed[2], filed[1]]
    assert ids(viewer.get("/dead-letters?code=card")) == [filed[3]]
    assert ids(viewer.get("/dead-letters?entered_before=2001-01-01T00:00:00Z")) == []
    first = viewer.get("/dead-letters?limit=3")
    assert ids(first) + ids(viewer.get(first.json()["next"])) == filed[::-1]
    assert viewer.get("/dead-letters?status=lost").status_code == 400


def test_groups_count_the_letters_of_their_list(viewer: Person, filed: list[int]) -> None:
    card, order = viewer.get("/dead-letters/groups").json()["results"]
    assert (card["count"], card["agent"], card["code"], card["sample"]["id"]) == (1, "clerk", "card", filed[3])
    assert (order["count"], order["sample"]["error"]["message"]) == (3, "order 2 broke")
    assert order["first_seen"] <= order["last_seen"] == order["sample"]["entered_at"]
    assert len(ids(viewer.get(f"/dead-letters?fingerprint={order['fingerprint']}"))) == 3
    assert viewer.get("/dead-letters/groups?status=discarded").json()["results"] == []


def test_groups_are_paged_without_repeating_one(viewer: Person, filed: list[int]) -> None:
    first = viewer.get("/dead-letters/groups?limit=1").json()
    second = viewer.get(first["next"]).json()
    assert [group["count"] for group in first["results"] + second["results"]] == [1, 3]
    assert second["next"] is None
    assert viewer.get(second["previous"]).json()["results"] == first["results"]


def test_a_letter_is_retried_and_only_once(operator: Person, filed: list[int]) -> None:
    answer = operator.post(f"/dead-letters/{filed[0]}/retry", {"reason": "fixed"})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    letter = operator.get("/dead-letters?status=retried").json()["results"][0]
    assert (letter["id"], letter["task"], letter["reason"]) == (filed[0], answer.json()["id"], "fixed")
    assert letter["resolved_by"].startswith("app:acme/")
    again = operator.post(f"/dead-letters/{filed[0]}/retry")
    assert (again.status_code, again.json()["type"]) == (409, "urn:hector:problem:dead_letter_resolved")


def test_a_letter_is_retried_with_another_input(operator: Person, filed: list[int]) -> None:
    assert operator.post(f"/dead-letters/{filed[0]}/retry", {"input": "other"}).json()["input"] == {"text": "other"}
    refused = operator.post(f"/dead-letters/{filed[3]}/retry", {"input": "x" * 200})
    assert (refused.status_code, pointers(refused)) == (400, ["/input"])
    assert ids(operator.get("/dead-letters?status=open")) == [filed[3], filed[2], filed[1]]


def test_a_letter_is_discarded_and_its_task_stays_failed(operator: Person, filed: list[int]) -> None:
    answer = operator.post(f"/dead-letters/{filed[0]}/discard", {"reason": "a test"})
    assert (answer.status_code, answer.json()["status"], answer.json()["reason"]) == (200, "discarded", "a test")
    assert operator.get(f"/tasks/{answer.json()['task']}").json()["status"] == "failed"
    assert operator.post(f"/dead-letters/{filed[0]}/discard").status_code == 409


def test_another_apps_letters_do_not_exist(outsider: Person, filed: list[int]) -> None:
    assert ids(outsider.get("/dead-letters")) == []
    assert outsider.post(f"/dead-letters/{filed[0]}/discard").status_code == 404
    named = outsider.post("/dead-letters/bulk", {"action": "discard", "ids": filed})
    assert (named.status_code, pointers(named)) == (400, ["/ids"])
    with in_app("acme"):
        assert DeadLetter.objects.filter(status="open").count() == 4


# --- Many at once -------------------------------------------------------------------------------------------------
def test_a_group_is_discarded_by_the_workers_and_each_outcome_is_kept(operator: Person, filed: list[int]) -> None:
    group = operator.get("/dead-letters?agent=echo").json()["results"][0]["fingerprint"]
    asked = {"action": "discard", "fingerprint": group, "reason": "test orders"}
    answer = operator.post("/dead-letters/bulk", asked)
    started = answer.json()
    assert answer.status_code == 202
    assert {name: started[name] for name in ("status", "total", "waiting")} == {
        "status": "running", "total": 3, "waiting": 3,
    }  # fmt: skip
    assert started["filter"] == {"fingerprint": group}
    done = over(operator, started)
    assert {name: done[name] for name in ("status", "done", "skipped", "failed", "waiting", "gone")} == {
        "status": "completed", "done": 3, "skipped": 0, "failed": 0, "waiting": 0, "gone": 0,
    }  # fmt: skip
    items = operator.get(f"/dead-letters/operations/{started['id']}/items?outcome=done").json()["results"]
    assert [item["dead_letter"] for item in items] == filed[:3]
    assert {letter["reason"] for letter in operator.get("/dead-letters?status=discarded").json()["results"]} == {
        "test orders"
    }


def test_named_letters_are_retried_with_another_input(operator: Person, filed: list[int]) -> None:
    operator.post(f"/dead-letters/{filed[1]}/discard")
    started = operator.post("/dead-letters/bulk", {"action": "retry", "ids": filed[:2], "input": "other"}).json()
    done = over(operator, started)
    assert (done["done"], done["skipped"]) == (1, 1)
    (skipped,) = operator.get(f"/dead-letters/operations/{started['id']}/items?outcome=skipped").json()["results"]
    assert skipped["dead_letter"] == filed[1] and "discarded already" in skipped["detail"]


@pytest.mark.parametrize(
    ("body", "status", "faults"),
    [
        ({"action": "retry"}, 400, ["/all"]),
        ({"action": "retry", "all": True, "agent": "echo"}, 400, ["/all"]),
        ({"action": "retry", "ids": [1], "agent": "echo"}, 400, ["/ids"]),
        ({"action": "retry", "ids": []}, 400, ["/ids"]),
        ({"action": "retry", "ids": [2**62]}, 400, ["/ids"]),
        ({"action": "discard", "all": True, "canary": True}, 400, ["/canary"]),
        ({"action": "discard", "all": True, "input": "x"}, 400, ["/input"]),
        ({"action": "burn", "all": True}, 400, ["/action"]),
        ({"action": "retry", "agent": "nobody"}, 409, []),
        ({"action": "retry", "all": True, "count": 3}, 409, ["/count"]),
    ],
)
def test_what_is_not_clear_is_refused_and_nothing_is_done(
    operator: Person, filed: list[int], body: dict[str, Any], status: int, faults: list[str]
) -> None:
    answer = operator.post("/dead-letters/bulk", body)
    assert (answer.status_code, pointers(answer)) == (status, faults)
    assert len(ids(operator.get("/dead-letters?status=open"))) == 4


def test_a_count_that_is_right_is_accepted_and_a_wrong_one_answered_with_both(
    operator: Person, filed: list[int]
) -> None:
    wrong = operator.post("/dead-letters/bulk", {"action": "discard", "all": True, "count": 9})
    assert "9 dead letters were shown and 4 match now" in wrong.json()["detail"]
    assert operator.post("/dead-letters/bulk", {"action": "discard", "all": True, "count": 4}).status_code == 202


def test_an_operation_is_stopped_once(operator: Person, filed: list[int]) -> None:
    started = operator.post("/dead-letters/bulk", {"action": "retry", "all": True}).json()
    stopped = operator.post(f"/dead-letters/operations/{started['id']}/stop", {"reason": "too soon"})
    assert (stopped.status_code, stopped.json()["status"], stopped.json()["waiting"]) == (200, "stopped", 4)
    assert stopped.json()["stop_reason"] == "too soon"
    again = operator.post(f"/dead-letters/operations/{started['id']}/stop")
    assert (again.status_code, again.json()["type"]) == (409, "urn:hector:problem:operation_ended")
    assert len(ids(operator.get("/dead-letters?status=open"))) == 4


def test_another_apps_operation_does_not_exist(operator: Person, outsider: Person, filed: list[int]) -> None:
    started = operator.post("/dead-letters/bulk", {"action": "retry", "all": True}).json()
    path = f"/dead-letters/operations/{started['id']}"
    assert outsider.get(path).status_code == outsider.get(f"{path}/items").status_code == 404
    assert outsider.post(f"{path}/stop").status_code == 404
