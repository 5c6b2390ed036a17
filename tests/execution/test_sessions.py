"""Sessions: what an agent's tasks have in common, and what they have not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.approvals import lifecycle as approvals
from apps.sessions import store
from apps.sessions.errors import SessionBusy
from apps.sessions.models import Session, Turn
from apps.tasks import forks, lifecycle
from apps.tasks.models import Event, Isolation, Task, TaskStatus
from apps.tenancy.models import App
from tests.support import functions
from tests.support.agents import apply, call, document, function, function_tool, one_llm_agent, scripted, submit
from tests.support.model_server import ModelServer, calls, error, says
from tests.support.people import ANNA
from tests.support.work import asks, ended, payloads, wait_for, working

ISOLATED, SHARED = Isolation.ISOLATED, Isolation.SHARED
KEEPER = document({"keeper": function("count_up"), "other": function("count_up")})
MEMORY = {"memory": {"type": "session"}}


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


def talker(server: ModelServer, **options: Any) -> dict[str, Any]:
    llm = {"provider": "openai", "model": "test-model", "base_url": server.url, "timeout": "5s"}
    return one_llm_agent(llm=llm, **options)


def say(app: App, *texts: str, **options: Any) -> list[Task]:
    """Tasks of one session, one after the other."""
    with working():
        return [ended(submit(app, value=text, **{"session": "s", **options})) for text in texts]


def heard(server: ModelServer, request: int = -1) -> list[str]:
    return [f"{message['role']}: {message['content']}" for message in server.requests[request].messages]


def state(agent: str = "agent", name: str = "s") -> dict[str, Any]:
    return store.values(Session.objects.get(agent=agent, name=name))


def conversation() -> list[str]:
    """The first and the last words of each turn."""
    return [
        f"{turn.content[0]['parts'][0]['content']} -> {turn.content[-1]['parts'][-1]['content']}"
        for turn in Turn.objects.order_by("seq")
    ]


# --- The conversation -----------------------------------------------------------------------------------------------
def test_a_task_begins_with_what_the_session_has_said_before(app: App, server: ModelServer) -> None:
    server.script(says("Hello Zaphod."), says("Your name is Zaphod."))
    apply(app, talker(server, instruction="Be brief."), by="tests")
    say(app, "I am Zaphod.", "Who am I?")
    assert heard(server) == [
        "system: Be brief.", "user: I am Zaphod.", "assistant: Hello Zaphod.", "user: Who am I?",
    ]  # fmt: skip
    assert conversation() == ["I am Zaphod. -> Hello Zaphod.", "Who am I? -> Your name is Zaphod."]


def test_other_sessions_and_other_agents_have_conversations_of_their_own(app: App, server: ModelServer) -> None:
    server.script(says("One."), says("Two."), says("Three."), says("Four."))
    agents = talker(server)
    agents["agents"]["second"] = agents["agents"]["agent"]
    apply(app, agents, by="tests")
    say(app, "first")
    say(app, "elsewhere", session="t")
    say(app, "nowhere", session="")
    say(app, "somebody else", agent="second")
    assert [len(received.messages) for received in server.requests] == [1, 1, 1, 1]
    assert sorted(Session.objects.values_list("agent", "name")) == [("agent", "s"), ("agent", "t"), ("second", "s")]


def test_tools_and_their_results_are_part_of_it(app: App, server: ModelServer) -> None:
    server.script(
        calls(("look_up", {"order": "A1"})), says("Shipped."), calls(("look_up", {"order": "A2"})), says("Too.")
    )
    apply(app, talker(server, tools={"look_up": function_tool("look_up")}), by="tests")
    first, second = say(app, "A1?", "And A2?")
    assert [message["role"] for message in server.requests[-1].messages] == [
        "user", "assistant", "tool", "assistant", "user", "assistant", "tool",
    ]  # fmt: skip
    keys = set(second.checkpoints.filter(kind="tool_result").values_list("key", flat=True))
    assert {key.split(":")[1] for key in keys} == {"1"}, "calls are counted from the task's own beginning"
    assert (first.status, second.status) == (TaskStatus.COMPLETED, TaskStatus.COMPLETED)


def test_a_structured_answer_is_part_of_it_as_text(app: App, server: ModelServer) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    server.script(calls(("final_result", {"n": 7})), calls(("final_result", {"n": 8})))
    apply(app, talker(server, output_schema=schema), by="tests")
    assert [task.output for task in say(app, "a", "b")] == [{"n": 7}, {"n": 8}]
    assert heard(server) == ["user: a", 'assistant: {"n": 7}', "user: b"]


def test_what_did_not_end_well_is_not_part_of_it(app: App, server: ModelServer) -> None:
    server.script(error(401), says("Yes."))
    apply(app, talker(server), by="tests")
    failed, completed = say(app, "lost?", "heard?")
    assert (failed.status, completed.status) == (TaskStatus.FAILED, TaskStatus.COMPLETED)
    assert heard(server) == ["user: heard?"]
    assert conversation() == ["heard? -> Yes."]


def test_a_retried_task_goes_on_from_what_it_had_begun_with(app: App, server: ModelServer) -> None:
    server.script(says("One."), error(503), says("Between."), says("Two."))
    quick = {"max_retries": 0, "initial_delay": "20ms"}
    apply(app, talker(server, retry=quick), by="tests")
    _, failed, _ = say(app, "first", "second", "third")
    assert failed.status == TaskStatus.FAILED
    lifecycle.retry(app, failed, by="anna")
    with working():
        ended(failed)
    assert heard(server) == ["user: first", "assistant: One.", "user: second"], "not what came between"
    assert conversation() == ["first -> One.", "third -> Between.", "second -> Two."]


def test_a_task_that_waits_for_a_person_adds_one_turn(app: App, server: ModelServer) -> None:
    server.script(says("One."), calls(("look_up", {"order": "A1"})), says("Two."))
    apply(app, talker(server, tools={"look_up": function_tool("look_up", require_approval=True)}), by="tests")
    say(app, "first")
    task = submit(app, value="second", session="s")
    with working():
        [approval] = asks(task)
        approvals.decide(app, approval, "approve", by=ANNA)
        ended(task)
    assert [message["role"] for message in server.requests[-1].messages] == [
        "user", "assistant", "user", "assistant", "tool",
    ]  # fmt: skip
    assert conversation() == ["first -> One.", "second -> Two."]


def test_two_tasks_at_once_both_add_what_they_have_said(app: App) -> None:
    slow = scripted({"text": "Done.", "delay": "300ms"})
    apply(app, one_llm_agent(llm=slow), by="tests")
    tasks = [submit(app, value=f"number {number}", session="s") for number in range(8)]
    with working():
        for task in tasks:
            ended(task)
    assert sorted(conversation()) == [f"number {number} -> Done." for number in range(8)]
    assert list(Turn.objects.order_by("seq").values_list("seq", flat=True)) == list(range(1, 9))


def test_a_window_takes_the_newest_whole_tasks_and_the_session_keeps_the_rest(app: App, server: ModelServer) -> None:
    server.script(*(says(f"Answer {number}.") for number in range(4)))
    apply(app, talker(server, history={"window": 3}), by="tests")
    say(app, "a", "b", "c", "d")
    assert heard(server) == ["user: c", "assistant: Answer 2.", "user: d"]
    assert len(conversation()) == 4


def test_a_fork_has_its_parents_conversation_and_adds_nothing_to_it(app: App, server: ModelServer) -> None:
    server.script(says("One."), calls(("look_up", {"order": "A1"})), says("Two."), says("Three."), says("What if."))
    apply(app, talker(server, tools={"look_up": function_tool("look_up")}), by="tests")
    _, parent, _ = say(app, "first", "second", "third")
    at = parent.checkpoints.get(kind="tool_result").seq
    child = forks.fork(app, parent, by="anna", from_checkpoint=at)
    with working():
        ended(child)
    assert (child.isolation, child.output) == (ISOLATED, {"text": "What if."})
    assert [text for text in heard(server) if text.startswith("user")] == ["user: first", "user: second"]
    assert len(conversation()) == 3


def test_what_goes_on_from_a_deleted_session_says_so(app: App, server: ModelServer) -> None:
    server.script(says("One."), error(401), says("Never."))
    apply(app, talker(server), by="tests")
    _, failed = say(app, "first", "second")
    store.delete(Session.objects.get(), by="anna")
    lifecycle.retry(app, failed, by="anna")
    with working():
        ended(failed)
    assert failed.error is not None and failed.error["code"] == "session_gone"
    assert len(server.requests) == 2


# --- The state ------------------------------------------------------------------------------------------------------
def test_functions_find_what_earlier_tasks_of_the_session_have_kept(app: App) -> None:
    apply(app, KEEPER, by="tests")
    assert [task.output for task in say(app, "", "", agent="keeper")] == [1, 2]
    assert [task.output for task in say(app, "", agent="other")] == [1], "a session is one agent's"
    assert [task.output for task in say(app, "", agent="keeper", session="t")] == [1]
    assert state("keeper") == {"count": 2}


def test_what_a_failed_attempt_has_kept_is_not(app: App) -> None:
    apply(app, KEEPER, by="tests")
    failed = run(app, {"fail": True})
    assert (failed.status, functions.calls["count_up"]) == (TaskStatus.FAILED, 3)
    assert state("keeper") == {}


def run(app: App, value: dict[str, Any], agent: str = "keeper", **options: Any) -> Task:
    with working():
        return ended(submit(app, agent, value, **{"session": "s", **options}))


def test_a_task_without_a_session_keeps_nothing(app: App) -> None:
    apply(app, KEEPER, by="tests")
    task = run(app, {}, session="")
    assert task.error is not None and task.error["code"] == "no_session"


def test_a_model_remembers_and_recalls(app: App, server: ModelServer) -> None:
    server.script(
        calls(("remember", {"key": "name", "value": "Zaphod"}), ("remember", {"key": "heads", "value": 2})),
        calls(("remember", {"key": "heads"})),
        says("Kept."),
        calls(("recall", {"key": "name"}), ("recall", {})),
        says("Zaphod."),
    )
    apply(app, talker(server, tools=MEMORY, history={"window": 2}), by="tests")
    say(app, "I am Zaphod.", "Who am I?")
    assert [message["content"] for message in server.requests[-1].messages if message["role"] == "tool"][-2:] == [
        "Zaphod", '{"name":"Zaphod"}',
    ]  # fmt: skip
    assert state() == {"name": "Zaphod"}


def test_function_tools_share_the_state_with_the_model(app: App) -> None:
    tools = {**MEMORY, "note": function_tool("note")}
    turns = [call("note", text="one"), call("note", text="two"), call("recall"), {"text": "Done."}]
    apply(app, one_llm_agent(*turns, tools=tools), by="tests")
    [task] = say(app, "go")
    assert task.checkpoints.filter(kind="tool_result").last().content["value"] == {"notes": ["one", "two"]}  # type: ignore[union-attr]


@pytest.mark.parametrize(("isolation", "count", "kept"), [(ISOLATED, [2, 2, 2], 1), (SHARED, [2, 3, 4], 4)])
def test_an_isolated_task_has_its_own_copy(app: App, isolation: Isolation, count: list[int], kept: int) -> None:
    apply(app, KEEPER, by="tests")
    run(app, {})
    assert [run(app, {}, isolation=isolation).output for _ in range(3)] == count
    assert state("keeper") == {"count": kept}


def test_an_isolated_conversation_sees_what_it_writes_itself_and_leaves_nothing(app: App, server: ModelServer) -> None:
    server.script(
        calls(("remember", {"key": "name", "value": "Zaphod"})),
        says("Kept."),
        calls(("remember", {"key": "name", "value": "Ford"})),
        error(503),
        calls(("recall", {"key": "name"})),
        says("Ford."),
    )
    apply(app, talker(server, tools=MEMORY), by="tests")
    say(app, "I am Zaphod.")
    [task] = say(app, "I am Ford.", isolation=ISOLATED)
    assert (task.output, task.attempt) == ({"text": "Ford."}, 2)
    assert heard(server)[-1] == "tool: Ford", "also after another attempt"
    assert "user: I am Zaphod." in heard(server)
    assert (state(), len(conversation())) == ({"name": "Zaphod"}, 1)


def test_of_two_who_write_the_same_the_last_wins_and_its_events_say_what_it_overwrote(app: App) -> None:
    apply(app, KEEPER, by="tests")
    with working():
        slow = submit(app, "keeper", {"hold": True, "by": 10}, session="s")
        wait_for(lambda: functions.calls["count_up"] == 1, what="it has read")
        quick = ended(submit(app, "keeper", {}, session="s"))
        functions.release.set()
        ended(slow)
    assert state("keeper") == {"count": 10}
    [changed] = [payload for payload in payloads(quick, "state_changed") if "session" in payload]
    assert changed == {"session": "s", "keys": ["count"], "revision": 1}
    [changed] = [payload for payload in payloads(slow, "state_changed") if "session" in payload]
    assert changed["conflict"] and changed["overwritten"] == [{"key": "count", "task": str(quick.pk)}]


def test_who_has_looked_overwrites_without_a_conflict(app: App) -> None:
    turns = [
        {"text": "hold on", "calls": [{"tool": "recall", "arguments": {"key": "count"}}]},
        call("remember", key="count", value=5),
        {"text": "Done."},
    ]
    apply(app, one_llm_agent(*turns, tools=MEMORY), by="tests")
    tasks = say(app, "one", "two")
    for task in tasks:
        assert not any(payload.get("conflict") for payload in payloads(task, "state_changed"))


def test_too_much_and_what_is_no_json_are_refused(app: App, settings: Any) -> None:
    settings.HECTOR_SESSION_STATE_MAX = 1024
    apply(app, one_llm_agent(call("remember", key="k", value="x" * 2000), {"text": "Done."}, tools=MEMORY), by="tests")
    [task] = say(app, "go")
    [told] = payloads(task, "tool_call_completed")
    assert "HECTOR_SESSION_STATE_MAX" in told["error"] and task.status == TaskStatus.COMPLETED
    assert state() == {}


def test_a_session_is_deleted_once_nothing_of_it_is_under_way(app: App) -> None:
    apply(app, KEEPER, by="tests")
    run(app, {})
    waiting = submit(app, "keeper", {}, session="s")
    session = Session.objects.get()
    with pytest.raises(SessionBusy):
        store.delete(session, by="anna")
    lifecycle.cancel(app, waiting, by="anna")
    store.delete(session, by="anna", reason="asked to")
    assert not Session.objects.exists() and Task.objects.count() == 2
    told = Event.objects.get(type="session_deleted")
    assert (told.actor, told.payload["reason"], told.payload["session"]) == ("anna", "asked to", "s")
