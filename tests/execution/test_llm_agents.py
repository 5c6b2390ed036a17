"""LLM agents against a server that speaks the OpenAI protocol: rounds of tools, usage, limits, faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from apps.tasks import lifecycle
from apps.tasks.models import Task, TaskStatus
from apps.tenancy import secrets
from apps.tenancy.models import App
from tests.support import functions, model_server
from tests.support.agents import apply, function_tool, one_llm_agent, scripted, submit
from tests.support.model_server import ModelServer, calls, error, rate_limited, says
from tests.support.work import ended, event_types, payloads, working

LOOK_UP = function_tool("look_up", idempotent=True)
CHARGE = function_tool("charge")


@pytest.fixture
def server(app: App) -> Iterator[ModelServer]:
    secrets.put(app, "MODEL_KEY", "sk-planted-secret-key")
    with ModelServer() as running:
        yield running


def openai(server: ModelServer, **options: Any) -> dict[str, Any]:
    return {
        "provider": "openai",
        "model": "test-model",
        "base_url": server.url,
        "api_key": "${secret:MODEL_KEY}",
        "timeout": "5s",
        "price": {"input": 1000, "output": 2000},
        **options,
    }


def run(app: App, server: ModelServer, *replies: model_server.Reply, tools: Any = None, **options: Any) -> Task:
    """Runs one task of an agent that talks to the server."""
    server.script(*replies)
    apply(app, one_llm_agent(tools=tools, llm=openai(server), **options), by="tests")
    task = submit(app)
    with working():
        return ended(task)


def test_two_rounds_of_tool_calls_end_in_an_answer(app: App, server: ModelServer) -> None:
    task = run(
        app,
        server,
        calls(("look_up", {"order": "A1"}), tokens=(10, 5)),
        calls(("charge", {"amount": 3}), ("look_up", {"order": "A2"}), tokens=(20, 6)),
        says("All done.", tokens=(30, 7)),
        tools={"look_up": LOOK_UP, "charge": CHARGE},
    )
    assert (task.status, task.output) == (TaskStatus.COMPLETED, {"text": "All done."})
    assert functions.calls == {"look_up": 2, "charge": 1}
    assert task.usage == {"requests": 3, "input_tokens": 60, "output_tokens": 18, "cost_usd": "0.096"}
    assert event_types(task) == [
        "state_changed",
        "execution_started",
        "llm_started",
        "llm_completed",
        "tool_call_started",
        "tool_call_completed",
        "llm_started",
        "llm_completed",
        "tool_call_started",
        "tool_call_started",
        "tool_call_completed",
        "tool_call_completed",
        "llm_started",
        "llm_completed",
        "execution_completed",
    ]
    assert [payload["cost_usd"] for payload in payloads(task, "llm_completed")] == ["0.02", "0.032", "0.044"]
    assert server.requests[-1].headers["authorization"] == "Bearer sk-planted-secret-key"
    results = [message["content"] for message in server.requests[-1].messages if message["role"] == "tool"]
    assert results == ["order A1 was shipped", "charged 3", "order A2 was shipped"]


def test_a_rate_limit_is_tried_again_when_the_server_says_and_goes_on_where_it_was(
    app: App, server: ModelServer
) -> None:
    task = run(
        app,
        server,
        calls(("charge", {"amount": 5})),
        rate_limited(1),
        says("Paid."),
        tools={"charge": CHARGE},
    )
    assert task.output == {"text": "Paid."}
    assert functions.calls["charge"] == 1
    first, second = task.attempts.all()
    assert first.error is not None and first.error["code"] == "rate_limited"
    assert (second.started_at - first.finished_at).total_seconds() >= 1.0
    assert len(server.requests) == 3
    assert task.usage["requests"] == 3


def test_a_refused_credential_is_not_tried_again(app: App, server: ModelServer) -> None:
    task = run(app, server, error(401, "wrong key sk-planted-secret-key"))
    assert (task.status, task.attempt) == (TaskStatus.FAILED, 1)
    assert task.error is not None and (task.error["code"], task.error["retryable"]) == ("not_authorised", False)
    assert "planted" not in str(task.error) + str(list(task.events.values_list("payload", flat=True)))


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (error(500), "server_error"),
        (error(503), "server_error"),
        (model_server.CUT, "connection_failed"),
    ],
    ids=["500", "503", "cut"],
)
def test_a_fault_that_may_pass_is_tried_again(
    app: App, server: ModelServer, fault: model_server.Reply, code: str
) -> None:
    task = run(app, server, fault, says("At last."))
    assert task.output == {"text": "At last."}
    assert [attempt.error and attempt.error["code"] for attempt in task.attempts.all()] == [code, None]


def test_a_model_that_does_not_answer_times_out_and_is_tried_again(app: App, server: ModelServer) -> None:
    server.script(model_server.HANG, says("Awake."))
    apply(app, one_llm_agent(llm=openai(server, timeout="300ms")), by="tests")
    task = submit(app)
    with working():
        ended(task)
    assert task.output == {"text": "Awake."}
    first = task.attempts.first()
    assert first is not None and first.error is not None and first.error["code"] == "timed_out"


@pytest.mark.parametrize(
    "fault",
    [model_server.malformed_arguments("look_up"), calls(("no_such_tool", {})), calls(("look_up", {"ordr": "A1"}))],
    ids=["malformed-arguments", "unknown-tool", "wrong-arguments"],
)
def test_a_wrong_tool_call_is_told_to_the_model_which_corrects_it(
    app: App, server: ModelServer, fault: model_server.Reply
) -> None:
    task = run(app, server, fault, calls(("look_up", {"order": "A1"})), says("Found."), tools={"look_up": LOOK_UP})
    assert task.output == {"text": "Found."}
    assert functions.calls["look_up"] == 1
    assert task.attempt == 1


def test_a_tool_that_fails_for_now_fails_the_attempt_and_runs_again(app: App, server: ModelServer) -> None:
    task = run(
        app,
        server,
        calls(("flaky_charge", {"amount": 5})),
        says("Paid."),
        tools={"flaky_charge": function_tool("flaky_charge")},
    )
    assert task.output == {"text": "Paid."}
    assert functions.calls["flaky_charge"] == 2
    assert len(server.requests) == 2  # the first answer was in the journal


@pytest.mark.parametrize(
    ("limits", "named"),
    [({"requests": 2}, "2 requests"), ({"tool_calls": 1}, "1 tool_calls"), ({"tokens": 30}, "30 tokens"),
     ({"cost_usd": 0.03}, "0.03 cost_usd")],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_limit_ends_the_task_with_its_name_and_never_as_a_success(
    app: App, server: ModelServer, limits: dict[str, float], named: str
) -> None:
    task = run(app, server, calls(("look_up", {"order": "A1"})), tools={"look_up": LOOK_UP}, limits=limits)
    assert (task.status, task.attempt) == (TaskStatus.FAILED, 1)
    assert task.error is not None and task.error["code"] == "limit_reached"
    assert named in task.error["message"]


def test_a_limit_counts_what_earlier_attempts_used(app: App, server: ModelServer) -> None:
    task = run(
        app,
        server,
        calls(("look_up", {"order": "A1"})),
        error(500),
        calls(("look_up", {"order": "A2"})),
        says("Too late."),
        tools={"look_up": LOOK_UP},
        limits={"requests": 2},
    )
    assert task.error is not None and task.error["code"] == "limit_reached"


def test_the_time_that_a_task_may_run_is_limited(app: App, server: ModelServer) -> None:
    task = run(app, server, model_server.HANG, limits={"wall_clock": "300ms"})
    assert task.error == {
        "code": "limit_reached",
        "message": "the run reached its limit of 0.3 s wall_clock",
        "retryable": False,
    }


def test_a_structured_answer_is_the_output(app: App, server: ModelServer) -> None:
    schema = {"type": "object", "properties": {"total": {"type": "integer"}}, "required": ["total"]}
    server.script(calls(("final_result", {"total": 7})))
    apply(app, one_llm_agent(llm=openai(server), output_schema=schema), by="tests")
    task = submit(app)
    with working():
        ended(task)
    assert (task.error, task.output) == (None, {"total": 7})


def test_a_missing_secret_ends_the_task_and_is_named(app: App) -> None:
    with ModelServer() as server:
        task = run(app, server, says("never"))
        assert server.requests == []
    assert task.error is not None
    assert (task.error["code"], task.attempt) == ("secret_missing", 1)
    assert "MODEL_KEY" in task.error["message"]


def test_the_fallback_answers_when_the_first_model_is_down(app: App, server: ModelServer) -> None:
    server.script(error(503))
    document = one_llm_agent(llm=openai(server, fallback="spare"))
    document["llms"]["spare"] = scripted({"text": "From the spare."})
    apply(app, document, by="tests")
    task = submit(app)
    with working():
        ended(task)
    assert (task.output, task.attempt) == ({"text": "From the spare."}, 1)


def test_a_task_keeps_the_agent_that_it_was_submitted_to(app: App) -> None:
    apply(app, one_llm_agent({"text": "old"}), by="tests")
    task = submit(app)
    apply(app, one_llm_agent({"text": "new"}), by="tests")
    later = submit(app)
    with working():
        assert ended(task).output == {"text": "old"}
        assert ended(later).output == {"text": "new"}


def test_cancelling_ends_a_model_request_that_is_under_way(app: App, server: ModelServer) -> None:
    server.script(model_server.HANG)
    apply(app, one_llm_agent(llm=openai(server, timeout="60s")), by="tests")
    task = submit(app)
    with working():
        server.wait_for_requests(1)
        lifecycle.cancel(app, task, by="anna")
        assert ended(task).status == TaskStatus.CANCELLED
