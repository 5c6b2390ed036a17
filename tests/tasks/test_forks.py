"""Retry from a checkpoint, and forks: what goes on, what runs again, and what stays as it was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.tasks import forks, lifecycle, replay
from apps.tasks.errors import IllegalTransition, InputInvalid, NoNewestVersion, NotResumable
from apps.tasks.integrity import complaints
from apps.tasks.models import Checkpoint, Task, TaskStatus
from apps.tenancy import secrets
from apps.tenancy.models import App
from tests.support import functions
from tests.support.agents import apply, call, document, function, function_tool, one_llm_agent, submit
from tests.support.model_server import ModelServer, Reply, calls, error, says
from tests.support.work import ended, payloads, wait_for, working

Kind = Checkpoint.Kind
TOOLS = {"look_up": function_tool("look_up", idempotent=True), "charge": function_tool("charge")}
STORY = [call("look_up", order="A1"), call("charge", amount=3), {"text": "All done."}]


@pytest.fixture(autouse=True)
def _functions(settings: Any, transactional_db: None) -> Iterator[None]:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    functions.calls.clear()
    functions.release.clear()
    yield
    functions.release.set()


def ran(app: App, *turns: dict[str, Any], tools: Any = None, **options: Any) -> Task:
    apply(app, one_llm_agent(*(turns or STORY), tools=tools or TOOLS, **options), by="tests")
    task = submit(app)
    with working():
        return ended(task)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


LOOK_UP, CHARGE, DONE = calls(("look_up", {"order": "A1"})), calls(("charge", {"amount": 3})), says("All done.")


@pytest.fixture
def failed(app: App, server: ModelServer) -> Task:
    """One that looked something up, charged and then failed, its third model request having been refused."""
    server.script(LOOK_UP, CHARGE, error(401))
    secrets.put(app, "KEY", "sk-a-key")
    llm = {"provider": "openai", "model": "m", "base_url": server.url, "api_key": "${secret:KEY}"}
    task = ran(app, llm=llm)
    assert (task.status, functions.calls) == (TaskStatus.FAILED, {"look_up": 1, "charge": 1})
    return task


def goes_on(task: Task, server: ModelServer, *replies: Reply) -> Task:
    server.script(*replies)
    with working():
        return ended(task)


def journal(task: Task) -> list[tuple[int, str]]:
    return list(task.checkpoints.order_by("seq").values_list("seq", "kind"))


def seq(task: Task, key: str) -> int:
    return task.checkpoints.filter(key__startswith=key, kind__in=replay.POINTS).get().seq


# --- Retry ------------------------------------------------------------------------------------------------------------
def test_a_retry_goes_on_after_the_checkpoint_and_runs_what_came_after_it_anew(
    app: App, failed: Task, server: ModelServer
) -> None:
    before = journal(failed)
    point = seq(failed, "model:2")
    plan = replay.plan(failed, point)
    assert [call.tool for call in plan.tool_calls] == ["charge"] and plan.model_turns == 0
    assert "These calls run: charge." in plan.sentence()
    lifecycle.retry(app, failed, by="anna", from_checkpoint=point)
    assert goes_on(failed, server, DONE).output == {"text": "All done."}
    assert functions.calls == {"look_up": 1, "charge": 2}
    assert journal(failed)[: len(before)] == before  # the record stays
    aside = set(failed.checkpoints.filter(set_aside=True).values_list("seq", flat=True))
    assert aside == {number for number, _ in before if number > point}
    assert payloads(failed, "execution_started")[-1]["resumed_from"] == point
    assert complaints(app) == []


def test_a_retry_from_an_early_checkpoint_asks_the_model_again_and_says_what_may_run_twice(
    app: App, failed: Task, server: ModelServer
) -> None:
    point = seq(failed, "tool:1")
    plan = replay.plan(failed, point)
    assert (plan.tool_calls, plan.model_turns, [call.tool for call in plan.set_aside]) == ((), 1, ["charge"])
    lifecycle.retry(app, failed, by="anna", from_checkpoint=point, reason="try once more")
    retried = payloads(failed, "state_changed")[-1]
    assert retried["reason"] == "try once more" and retried["from_checkpoint"] == point
    assert [call["tool"] for call in retried["set_aside"]["tool_calls"]] == ["charge"]
    assert goes_on(failed, server, CHARGE, DONE).output == {"text": "All done."}
    assert functions.calls == {"look_up": 1, "charge": 2}
    told = server.requests[-1].messages
    assert [message["content"] for message in told if message["role"] == "tool"] == [
        "order A1 was shipped",
        "charged 3",
    ]


def test_retries_from_checkpoints_can_follow_one_another(app: App, failed: Task, server: ModelServer) -> None:
    point = seq(failed, "tool:1")
    for charged in (2, 3):
        lifecycle.retry(app, failed, by="anna", from_checkpoint=point)
        goes_on(failed, server, CHARGE, error(401))
        assert (failed.status, functions.calls["charge"]) == (TaskStatus.FAILED, charged)
    lifecycle.retry(app, failed, by="anna")
    assert goes_on(failed, server, DONE).output == {"text": "All done."}
    assert functions.calls == {"look_up": 1, "charge": 3}
    assert failed.usage["requests"] == 3 + 2 + 2 + 1  # what was asked was asked, whatever became of it
    assert complaints(app) == []


def test_with_another_input_the_conversation_up_to_there_begins_with_that_input(
    app: App, failed: Task, server: ModelServer
) -> None:
    lifecycle.retry(app, failed, by="anna", from_checkpoint=seq(failed, "tool:1"), new_input="goodbye")
    assert goes_on(failed, server, DONE).input == {"text": "goodbye"}
    told = server.requests[-1].messages
    assert [message["content"] for message in told if message["role"] in ("user", "tool")] == [
        "goodbye",
        "order A1 was shipped",
    ]
    said = failed.checkpoints.order_by("seq")[0].content["messages"][0]["parts"][-1]
    assert said["content"] == "hello"  # what was said then stays on record


@pytest.mark.parametrize("wanted", [4, 99])
def test_where_something_is_half_done_or_nothing_is_there_is_no_place_to_go_on_from(
    app: App, failed: Task, wanted: int
) -> None:
    assert failed.checkpoints.get(seq=4).kind == Kind.TOOL_STARTED
    with pytest.raises(NotResumable, match=r"result: 1, 2, 3, 5$"):
        lifecycle.retry(app, failed, by="anna", from_checkpoint=wanted)
    failed.refresh_from_db()
    assert failed.status == TaskStatus.FAILED and not failed.checkpoints.filter(set_aside=True).exists()


def test_what_was_set_aside_is_no_place_to_go_on_from(app: App, failed: Task) -> None:
    lifecycle.cancel(app, lifecycle.retry(app, failed, by="anna", from_checkpoint=1), by="anna")
    with pytest.raises(NotResumable, match=r"result: 1$"):
        lifecycle.retry(app, failed, by="anna", from_checkpoint=5)


def test_a_task_that_completed_is_not_retried_from_a_checkpoint(app: App) -> None:
    with pytest.raises(IllegalTransition):
        lifecycle.retry(app, ran(app), by="anna", from_checkpoint=1)


# --- Fork -------------------------------------------------------------------------------------------------------------
def test_a_fork_from_the_beginning_is_the_same_work_again(app: App) -> None:
    parent = ran(app)
    child = forks.fork(app, parent, by="anna", reason="once more")
    with working():
        ended(child)
    assert (child.output, child.input, child.agent_version_id) == (parent.output, parent.input, parent.agent_version_id)
    assert (child.forked_from_id, child.forked_at_checkpoint) == (parent.pk, None)
    assert functions.calls == {"look_up": 2, "charge": 2}
    assert payloads(child, "state_changed")[0]["forked_from"] == str(parent.pk)
    assert payloads(parent, "forked") == [{"task": str(child.pk), "from_checkpoint": None, "reason": "once more"}]
    assert list(parent.forks.all()) == [child]
    assert complaints(app) == []


def test_a_fork_from_a_checkpoint_repeats_nothing_that_is_recorded_up_to_there(app: App) -> None:
    parent = ran(app)
    point = seq(parent, "tool:2")
    child = forks.fork(app, parent, by="anna", from_checkpoint=point)
    assert child.checkpoint_bytes == sum(child.checkpoints.values_list("size", flat=True)) > 0
    with working():
        ended(child)
    assert child.output == {"text": "All done."}
    assert functions.calls == {"look_up": 1, "charge": 1}
    assert child.usage["requests"] == 1  # its own
    assert set(child.checkpoints.filter(seq__lte=point).values_list("epoch", flat=True)) == {0}
    parent.refresh_from_db()
    assert parent.status == TaskStatus.COMPLETED
    assert complaints(app) == []


def test_a_fork_of_a_fork_has_the_whole_story(app: App) -> None:
    parent = ran(app)
    child = forks.fork(app, parent, by="anna", from_checkpoint=seq(parent, "tool:1"))
    with working():
        ended(child)
    grandchild = forks.fork(app, child, by="anna", from_checkpoint=seq(child, "tool:2"))
    with working():
        ended(grandchild)
    assert grandchild.output == {"text": "All done."}
    assert functions.calls == {"look_up": 1, "charge": 2}


def test_a_fork_leaves_out_what_its_parent_has_set_aside(app: App, failed: Task, server: ModelServer) -> None:
    lifecycle.retry(app, failed, by="anna", from_checkpoint=1)
    goes_on(failed, server, DONE)
    last = replay.points(failed).last()
    assert last is not None
    child = forks.fork(app, failed, by="anna", from_checkpoint=last.seq)
    kept = [kind for number, kind in journal(failed) if number == 1 or number > 5]
    assert [kind for _, kind in journal(child)] == kept
    assert goes_on(child, server, error(500)).output == {"text": "All done."}  # nothing was asked
    assert complaints(app) == []


def test_a_running_task_can_be_forked_and_goes_on_undisturbed(app: App) -> None:
    tools = {"hold": function_tool("hold"), "look_up": TOOLS["look_up"]}
    apply(app, one_llm_agent(call("look_up", order="A1"), call("hold", value={}), {"text": "Ok."}, tools=tools), by="t")
    parent = submit(app)
    with working():
        wait_for(lambda: functions.calls["hold"], what="the tool runs")
        child = forks.fork(app, parent, by="anna", from_checkpoint=2)
        wait_for(lambda: functions.calls["hold"] == 2, what="the fork's tool runs")
        functions.release.set()
        assert ended(parent).output == ended(child).output == {"text": "Ok."}
    assert functions.calls == {"look_up": 1, "hold": 2}
    assert parent.attempt == 1


def test_a_fork_with_another_input_starts_from_the_beginning(app: App) -> None:
    parent = ran(app)
    child = forks.fork(app, parent, by="anna", new_input="goodbye")
    with working():
        ended(child)
    assert child.input == {"text": "goodbye"}
    assert child.checkpoints.order_by("seq")[0].content["messages"][0]["parts"][-1]["content"] == "goodbye"
    assert functions.calls["look_up"] == 2


def test_a_fork_with_the_newest_version_of_its_agent_goes_on_with_that_one(app: App) -> None:
    parent = ran(app)
    apply(app, one_llm_agent(*STORY[:2], {"text": "Better."}, tools=TOOLS), by="tests")
    pinned = forks.fork(app, parent, by="anna", from_checkpoint=seq(parent, "tool:2"))
    newest = forks.fork(app, parent, by="anna", from_checkpoint=seq(parent, "tool:2"), newest=True)
    with working():
        assert ended(pinned).output == {"text": "All done."}
        assert ended(newest).output == {"text": "Better."}
    assert functions.calls == {"look_up": 1, "charge": 1}


def test_without_its_agent_a_task_has_no_newest_version(app: App) -> None:
    parent = ran(app)
    apply(app, document({"other": function("echo")}), by="tests")
    with pytest.raises(NoNewestVersion):
        forks.fork(app, parent, by="anna", newest=True)
    forks.fork(app, parent, by="anna")


def test_a_journal_is_of_no_use_to_an_agent_of_another_type(app: App) -> None:
    parent = ran(app)
    apply(app, document({"agent": function("echo")}), by="tests")
    with pytest.raises(NotResumable, match="another type"):
        forks.fork(app, parent, by="anna", newest=True, from_checkpoint=1)


def test_the_input_of_a_fork_must_fit_its_version(app: App) -> None:
    parent = ran(app)
    schema = {"type": "object", "properties": {"text": {"maxLength": 3}}}
    apply(app, one_llm_agent(*STORY, tools=TOOLS, input_schema=schema), by="tests")
    with pytest.raises(InputInvalid):
        forks.fork(app, parent, by="anna", newest=True)
    forks.fork(app, parent, by="anna", newest=True, new_input="ok")
    assert Task.objects.count() == 2


def test_a_structured_answer_is_not_called_a_tool_that_runs_again(app: App) -> None:
    schema = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
    parent = ran(app, {"output": {"total": 3}}, output_schema=schema)
    assert parent.output == {"total": 3}, parent.error
    last = replay.points(parent).last()
    assert last is not None
    assert replay.plan(parent, last.seq).tool_calls == ()


def test_a_function_agent_has_no_checkpoint_to_go_on_from(app: App) -> None:
    apply(app, document({"agent": function("echo")}), by="tests")
    with pytest.raises(NotResumable, match="has recorded none"):
        forks.fork(app, submit(app), by="anna", from_checkpoint=1)
