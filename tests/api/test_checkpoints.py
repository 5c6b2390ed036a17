"""A task's checkpoints: reading them, retrying and forking from them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from apps.tasks.models import Task
from apps.tenancy.context import in_app
from tests.api.conftest import Person, pointers
from tests.support import agents
from tests.support.work import working

LONG = 7000  # times "long story ", which is more than a list shows


def ran(person: Person, *, failed: bool = True) -> dict[str, Any]:
    """A task that has made a report of 77,000 characters, looked something up and ended."""
    tools = {"report": agents.function_tool("report"), "look_up": agents.function_tool("look_up", idempotent=True)}
    turns = agents.call("report", length=LONG), agents.call("look_up", order="A1"), {"text": "Done."}
    with in_app("acme") as app:
        agents.apply(app, agents.one_llm_agent(*turns, tools=tools), by="tests")
    with working():
        task: dict[str, Any] = person.post("/tasks", {"agent": "agent", "input": "hi"}, Prefer="wait=20").json()
    assert task["output"] == {"text": "Done."}, task
    if failed:
        with in_app("acme"):
            Task.objects.filter(pk=task["id"]).update(status="cancelled", output=None)
    return task


def checkpoints(person: Person, task: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person.get(f"/tasks/{task['id']}/checkpoints").json()["results"]
    return found


def test_a_list_says_how_large_checkpoints_are_and_leaves_out_large_values(viewer: Person, operator: Person) -> None:
    task = ran(operator)
    points = checkpoints(viewer, task)
    assert [point["kind"] for point in points] == [
        "model", "tool_started", "tool_result", "model", "tool_result", "model",
    ]  # fmt: skip
    large = points[2]
    assert large["size"] > 11 * LONG and large["omitted"] and large["value"] is None
    assert not any(point["omitted"] for point in points if point is not large)
    assert sum(point["size"] for point in points) == viewer.get(f"/tasks/{task['id']}").json()["checkpoint_bytes"]
    whole = viewer.get(f"/tasks/{task['id']}/checkpoints/3").json()
    assert whole["value"] == {"kind": "value", "value": "long story " * LONG} and not whole["omitted"]
    assert {key: value for key, value in whole.items() if key not in ("value", "omitted")} == {
        key: value for key, value in large.items() if key not in ("value", "omitted")
    }


def test_a_value_is_shown_where_it_is_kept_and_named_where_it_is_repeated(operator: Person) -> None:
    points = checkpoints(operator, ran(operator))
    (returned,) = points[3]["value"]["messages"][0]["parts"]
    assert returned["content_from"] == points[2]["key"] and "content" not in returned


def test_there_is_no_other_checkpoint(viewer: Person, operator: Person, outsider: Person) -> None:
    task = ran(operator)
    for number in ("99", "0", str(10**30)):
        assert viewer.get(f"/tasks/{task['id']}/checkpoints/{number}").status_code == 404
    assert outsider.get(f"/tasks/{task['id']}/checkpoints/1").status_code == 404


def test_a_task_runs_again_from_a_checkpoint_and_the_answer_says_what_happens_again(operator: Person) -> None:
    task = ran(operator)
    assert [point["seq"] for point in checkpoints(operator, task) if point["resumable"]] == [1, 3, 4, 5, 6]
    answer = operator.post(f"/tasks/{task['id']}/retry", {"from_checkpoint": 4})
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    said = answer.json()["replay"]
    assert said["from_checkpoint"] == 4
    assert [call["tool"] for call in said["tool_calls"]] == ["look_up"]
    assert said["set_aside"] == {"model_turns": 1, "tool_calls": []}
    assert said["summary"] == (
        "It goes on after checkpoint 4; what is recorded up to there is not repeated. These calls run: look_up."
        " The model is asked anew: one recorded answer is set aside."
    )
    after = checkpoints(operator, task)
    assert [point["seq"] for point in after if point["set_aside"]] == [5, 6]
    assert [point["seq"] for point in after if point["resumable"]] == [1, 3, 4]


def test_a_checkpoint_that_is_none_to_go_on_from_is_refused_with_those_that_are(operator: Person) -> None:
    task = ran(operator)
    for verb in ("retry", "fork"):
        answer = operator.post(f"/tasks/{task['id']}/{verb}", {"from_checkpoint": 2})
        assert (answer.status_code, pointers(answer)) == (400, ["/from_checkpoint"])
        assert answer.json()["type"] == "urn:hector:problem:not_resumable"
        assert answer.json()["detail"].endswith("1, 3, 4, 5, 6")
        for wrong in (0, "1", 2**40, None, 1.5):
            assert operator.post(f"/tasks/{task['id']}/{verb}", {"from_checkpoint": wrong}).status_code == 400


def test_a_plain_retry_says_what_happens_again_too(operator: Person) -> None:
    task = ran(operator)
    said = operator.post(f"/tasks/{task['id']}/retry").json()["replay"]
    assert (said["from_checkpoint"], said["tool_calls"]) == (6, [])
    operator.post(f"/tasks/{task['id']}/cancel")
    said = operator.post(f"/tasks/{task['id']}/retry", {"input": "other"}).json()["replay"]
    assert said["from_checkpoint"] is None and said["set_aside"]["model_turns"] == 3
    assert [call["tool"] for call in said["set_aside"]["tool_calls"]] == ["report", "look_up"]


def test_a_task_is_forked_from_a_checkpoint(operator: Person, viewer: Person) -> None:
    task = ran(operator, failed=False)
    answer = operator.post(f"/tasks/{task['id']}/fork", {"from_checkpoint": 3, "reason": "what if"})
    child = answer.json()
    assert (answer.status_code, child["status"], answer["Location"]) == (202, "pending", f"/tasks/{child['id']}")
    assert (child["forked_from"], child["forked_at_checkpoint"]) == (task["id"], 3)
    assert child["checkpoint_bytes"] > 11 * LONG
    assert child["replay"]["summary"].startswith("It goes on after checkpoint 3;")
    with working():
        rest = operator.post("/tasks", {"agent": "agent", "input": "hi"}, Prefer="wait=20")
    assert rest.status_code == 200
    forks = viewer.get(f"/tasks?forked_from={task['id']}").json()["results"]
    assert [fork["id"] for fork in forks] == [child["id"]]
    assert viewer.get(f"/tasks/{task['id']}").json()["forked_from"] is None
    last = viewer.get(f"/tasks/{task['id']}/events").json()["results"][-1]
    assert (last["type"], last["payload"]) == (
        "forked",
        {"task": child["id"], "from_checkpoint": 3, "reason": "what if"},
    )
    assert last["actor"].startswith("app:acme/")


def test_a_fork_may_have_another_input_and_the_newest_version(operator: Person) -> None:
    task = operator.submits("clerk", "hello")
    with in_app("acme") as app:
        agents.apply(app, agents.document({"clerk": agents.function("echo")}), by="tests")
    child = operator.post(f"/tasks/{task['id']}/fork", {"input": "other"}).json()
    assert (child["input"], child["agent_version"]) == ({"text": "other"}, task["agent_version"])
    child = operator.post(f"/tasks/{task['id']}/fork", {"agent_version": "newest"}).json()
    assert child["input"] == {"text": "hello"} and child["agent_version"] != task["agent_version"]
    assert operator.post(f"/tasks/{task['id']}/fork", {"agent_version": "other"}).status_code == 400


def test_without_its_agent_there_is_no_newest_version(operator: Person) -> None:
    task = operator.submits()
    with in_app("acme") as app:
        agents.apply(app, agents.document({"other": agents.function("echo")}), by="tests")
    answer = operator.post(f"/tasks/{task['id']}/fork", {"agent_version": "newest"})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:hector:problem:no_newest_version")


def test_the_input_of_a_fork_must_fit_the_agent(operator: Person) -> None:
    task = operator.submits("clerk", "short")
    answer = operator.post(f"/tasks/{task['id']}/fork", {"input": "x" * 200})
    assert (answer.status_code, pointers(answer)) == (400, ["/input"])


def test_however_often_a_fork_is_asked_for_with_one_key_there_is_one(operator: Person) -> None:
    task = operator.submits()
    first = operator.post(f"/tasks/{task['id']}/fork", {"input": "a"}, Idempotency_Key="k")
    again = operator.post(f"/tasks/{task['id']}/fork", {"input": "a"}, Idempotency_Key="k")
    assert again["Idempotency-Replayed"] == "true" and again.json()["id"] == first.json()["id"]
    assert operator.post(f"/tasks/{task['id']}/fork", {"input": "b"}, Idempotency_Key="k").status_code == 422
    with in_app("acme"):
        assert Task.objects.filter(forked_from=task["id"]).count() == 1


def test_another_apps_task_is_not_there_to_be_forked(outsider: Person, operator: Person) -> None:
    task = operator.submits()
    assert outsider.post(f"/tasks/{task['id']}/fork").status_code == 404
    assert operator.post(f"/tasks/{uuid4()}/fork").status_code == 404
