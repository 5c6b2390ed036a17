"""/approvals, and deciding for a task."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from apps.approvals.lifecycle import Call
from apps.approvals.models import Approval
from apps.tasks.models import Task
from apps.tenancy.context import in_app
from tests.api.conftest import Person, pointers
from tests.support.doubt import asked as waits_for
from tests.support.doubt import waiting


@pytest.fixture
def asked(world: None) -> Task:
    """A task of `acme` that waits for decisions about two calls."""
    with in_app("acme") as app:
        return waiting(app, keys=("tool:1:a", "tool:1:b"), agent="clerk")


def listed(person: Person, status: str = "open") -> list[dict[str, Any]]:
    answer = person.get(f"/approvals?status={status}")
    assert answer.status_code == 200
    return list(answer.json()["results"])


def test_an_approval_looks_as_documented(viewer: Person, asked: Task) -> None:
    second, first = listed(viewer)
    assert first["id"] < second["id"]
    assert first.pop("requested_at").endswith("Z") and "may or may not" in first.pop("prompt")
    assert "Confirm: somebody with the role approver has to agree; tests" in first.pop("explanation")
    assert len(first.pop("digest")) == 64
    assert first == {
        "id": first["id"],
        "task": str(asked.pk),
        "agent": "clerk",
        "kind": "in_doubt",
        "status": "open",
        "tool": "charge",
        "arguments": {"amount": 5},
        "schema": None,
        "risk": "",
        "on_reject": "continue",
        "policy": "",
        "requester": "tests",
        "choices": ["ran", "run_again", "fail"],
        "required": 1,
        "decisions": [],
        "outcome": "",
        "expires_at": None,
        "reminded_at": None,
        "escalated_at": None,
        "closed_at": None,
    }
    assert viewer.get(f"/approvals/{first['id']}").json()["choices"] == first["choices"]


def test_a_task_names_what_it_waits_for_and_only_that(viewer: Person, approver: Person, asked: Task) -> None:
    waits_for = viewer.get(f"/tasks/{asked.pk}").json()["approvals"]
    assert [one["arguments"] for one in waits_for] == [{"amount": 5}] * 2
    approver.post(f"/approvals/{waits_for[0]['id']}/decide", {"decision": "run_again"})
    (seen,) = viewer.get("/tasks?status=input_required").json()["results"]
    assert [one["id"] for one in seen["approvals"]] == [waits_for[1]["id"]]


def test_deciding_is_recorded_and_the_task_goes_on(approver: Person, asked: Task) -> None:
    second, first = listed(approver)
    body = {"decision": "ran", "answer": "charged", "comment": "The bank says so"}
    answer = approver.post(f"/approvals/{first['id']}/decide", body)
    assert answer.status_code == 200
    (decision,) = answer.json()["decisions"]
    assert (decision["decision"], decision["comment"], decision["arguments"]) == ("ran", "The bank says so", None)
    assert decision["actor"].startswith("app:acme/")
    assert approver.get(f"/tasks/{asked.pk}").json()["status"] == "input_required"
    assert approver.post(f"/approvals/{second['id']}/decide", {"decision": "run_again"}).status_code == 200
    task = approver.get(f"/tasks/{asked.pk}").json()
    assert (task["status"], task["approvals"]) == ("pending", [])
    assert listed(approver) == []
    assert len(listed(approver, "approved")) == 2


def test_what_is_decided_is_409_with_the_decision(approver: Person, asked: Task) -> None:
    path = f"/approvals/{listed(approver)[0]['id']}/decide"
    approver.post(path, {"decision": "run_again"})
    answer = approver.post(path, {"decision": "fail"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:hector:problem:already_decided")
    assert answer.json()["errors"][0]["detail"].startswith("run_again by app:acme/")


def test_a_task_in_doubt_cannot_be_approved_or_rejected_and_says_how_it_can_be_decided(
    approver: Person, asked: Task
) -> None:
    for verb in ("approve", "reject"):
        answer = approver.post(f"/tasks/{asked.pk}/{verb}", {"comment": "fine"})
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:hector:problem:decision_not_possible")
        assert "ran, run_again, fail" in answer.json()["detail"]
    assert len(listed(approver)) == 2


def test_a_task_that_waits_for_nobody_has_nothing_to_decide(approver: Person, operator: Person) -> None:
    answer = approver.post(f"/tasks/{operator.submits()['id']}/approve")
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:hector:problem:nothing_to_decide")


@pytest.mark.parametrize(
    ("body", "status", "faulty"),
    [
        ({}, 400, ["/decision"]),
        ({"decision": "perhaps"}, 400, ["/decision"]),
        ({"decision": "ran"}, 400, ["/answer"]),
        ({"decision": "run_again", "arguments": {"amount": 6}}, 400, ["/arguments"]),
        ({"decision": "run_again", "by": "otto"}, 400, ["/by"]),
        ({"decision": "approve"}, 409, []),
    ],
)
def test_a_decision_that_does_not_fit_is_refused(
    approver: Person, asked: Task, body: dict[str, Any], status: int, faulty: list[str]
) -> None:
    answer = approver.post(f"/approvals/{listed(approver)[0]['id']}/decide", body)
    assert (answer.status_code, pointers(answer)) == (status, faulty)
    assert len(listed(approver)) == 2


@pytest.fixture
def calls(world: None) -> list[Task]:
    """Two tasks of `acme` that wait for approval of a call."""
    with in_app("acme") as app:
        call = Call(Approval.Kind.TOOL_CALL, "tool:1:a", "charge", {"amount": 5})
        return [waits_for(app, call, agent="clerk") for _ in range(2)]


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_several_are_decided_at_once_and_each_that_is_not_says_why(
    approver: Person, calls: list[Task], decision: str
) -> None:
    second, first = (one["id"] for one in listed(approver))
    approver.post(f"/approvals/{first}/decide", {"decision": "reject"})
    unknown = str(uuid4())
    answer = approver.post("/approvals/decide", {"decision": decision, "ids": [first, second, unknown]}).json()
    done = {"approve": "approved", "reject": "rejected"}[decision]
    assert answer[done] == [second]
    assert [one["id"] for one in answer["skipped"]] == [first, unknown]
    assert "closed already: reject by" in answer["skipped"][0]["reason"]
    assert listed(approver) == []


def test_mine_are_those_that_wait_for_whoever_asks(approver: Person, viewer: Person, calls: list[Task]) -> None:
    with in_app("acme"):
        Approval.objects.filter(task=calls[0]).update(role="admin")
    assert [one["task"] for one in approver.get("/approvals?mine=true").json()["results"]] == [str(calls[1].pk)]
    assert viewer.get("/approvals?mine=true").json()["results"] == []
    assert len(listed(viewer)) == 2


@pytest.mark.parametrize("terms", [{}, {"task": False}, {"task": True, "until": "2030-01-31T14:00:00Z"}], ids=str)
def test_a_grant_is_for_the_task_or_until_an_instant(approver: Person, calls: list[Task], terms: Any) -> None:
    path = f"/approvals/{listed(approver)[0]['id']}/decide"
    answer = approver.post(path, {"decision": "approve", "grant": terms})
    assert (answer.status_code, pointers(answer)) == (400, ["/grant"])
    assert len(listed(approver)) == 2


def test_another_apps_approvals_do_not_exist(outsider: Person, approver: Person, asked: Task) -> None:
    assert listed(outsider) == []
    one = listed(approver)[0]["id"]
    assert outsider.post(f"/approvals/{one}/decide", {"decision": "fail"}).status_code == 404
    assert outsider.post(f"/tasks/{asked.pk}/reject").status_code == 404
    assert len(listed(approver)) == 2


def test_a_waiting_task_is_cancelled(operator: Person, viewer: Person, asked: Task) -> None:
    answer = operator.post(f"/tasks/{asked.pk}/cancel")
    assert (answer.status_code, answer.json()["status"], answer.json()["approvals"]) == (202, "cancelled", [])
    assert len(listed(viewer, "cancelled")) == 2
