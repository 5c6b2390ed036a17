"""What a run writes down: each value once, large ones packed, within bounds; and what it makes of it again."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from apps.execution.journal import RunJournal
from apps.tasks import checkpoints, lifecycle
from apps.tasks.checkpoints import PACKED_FROM, REFERENCE, call_key, pack, refer, restore
from apps.tasks.models import Checkpoint, Task, TaskStatus
from apps.tenancy.models import App
from tests.support import functions
from tests.support.agents import apply, call, function_tool, one_llm_agent, submit
from tests.support.work import ended, payloads, working

Kind = Checkpoint.Kind

# --- References: pure functions ---------------------------------------------------------------------------------------
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
IDS = st.sampled_from(["a", "b", "call_1"])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[list[ModelMessage]], dict[str, Any]]:
    """Model turns (what was said since the turn before, the answer last), and the results that were recorded."""
    turns: list[list[ModelMessage]] = []
    results: dict[str, Any] = {}
    asked: list[str] = []
    for number in range(draw(st.integers(1, 4))):
        parts: list[Any] = [UserPromptPart(draw(TEXT))] if not number or draw(st.booleans()) else []
        for call_id in asked:
            content = draw(JSON)
            parts.append(ToolReturnPart("tool", content, call_id, outcome=draw(st.sampled_from(["success", "failed"]))))
            # Recorded: the same, something else that may be alike, or nothing.
            match draw(st.integers(0, 3)):
                case 0 | 1:
                    results[call_key(number, call_id)] = content
                case 2:
                    results[call_key(number, call_id)] = draw(JSON)
        asked = draw(st.lists(IDS, unique=True, max_size=3))
        answer = ModelResponse(
            [TextPart(draw(TEXT)), *[ToolCallPart("tool", draw(JSON.filter(_is_object)), i) for i in asked]]
        )
        turns.append([ModelRequest(parts), answer])
    return turns, results


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


@hypothesis_settings(max_examples=150, deadline=None)
@given(conversations())
def test_a_conversation_of_any_shape_comes_back_exactly_as_it_was(
    made: tuple[list[list[ModelMessage]], dict[str, Any]],
) -> None:
    turns, results = made
    for number, turn in enumerate(turns):
        said = ModelMessagesTypeAdapter.dump_python(turn, mode="json")
        stored = json.loads(json.dumps(refer(said, number, results)))
        back = restore(stored, results)
        assert [_sorted(message) for message in back] == [_sorted(message) for message in said]
        assert ModelMessagesTypeAdapter.validate_python(back) == ModelMessagesTypeAdapter.validate_python(said)


def _sorted(value: Any) -> str:
    """As text, so that 1, 1.0 and true are not alike; the order of a message's own keys means nothing."""
    return json.dumps(value, sort_keys=True)


@pytest.mark.parametrize(("content", "recorded"), [(1, True), (1, 1.0), ({"a": 1, "b": 2}, {"b": 2, "a": 1}), ("1", 1)])
def test_what_only_looks_the_same_is_not_replaced(content: Any, recorded: Any) -> None:
    part = {"part_kind": "tool-return", "tool_call_id": "a", "content": content}
    (message,) = refer([{"parts": [part]}], 1, {"tool:1:a": recorded})
    assert message["parts"] == [part]


def test_a_result_that_is_recorded_is_named_and_not_repeated() -> None:
    part = {"part_kind": "tool-return", "tool_call_id": "a", "content": "x" * 50}
    (message,) = refer([{"parts": [part]}], 1, {"tool:1:a": "x" * 50})
    assert message["parts"] == [{"part_kind": "tool-return", "tool_call_id": "a", REFERENCE: "tool:1:a"}]


@hypothesis_settings(max_examples=60, deadline=None)
@given(JSON, st.integers(1, 400))
def test_a_value_of_any_size_reads_as_it_was_written(value: Any, times: int) -> None:
    stored = pack([value] * times)
    point = Checkpoint(value=None if stored.value is None else json.loads(stored.value), packed=stored.packed)
    assert json.dumps(point.content) == json.dumps([value] * times)
    assert stored.size == len(json.dumps([value] * times))
    assert (stored.packed is not None) >= (stored.size > PACKED_FROM)


# --- Runs -------------------------------------------------------------------------------------------------------------
def run(app: App, *turns: dict[str, Any], **options: Any) -> Task:
    apply(app, one_llm_agent(*turns, tools={"report": function_tool("report")}, **options), by="tests")
    task = submit(app)
    with working():
        return ended(task)


def journal_of(task: Task) -> RunJournal:
    started: Any = SimpleNamespace(task=task, checkpoints=list(checkpoints.of(task)), turn_offset=0)
    job: Any = SimpleNamespace(lease=None)
    return RunJournal(job, started)


def test_a_long_result_is_stored_once_and_compressed(app: App) -> None:
    task = run(app, call("report", length=1000), {"text": "Read."})
    assert task.output == {"text": "Read."}
    long = "long story " * 1000
    assert sum(long in json.dumps(point.content) for point in task.checkpoints.all()) == 1
    result = task.checkpoints.get(kind=Kind.TOOL_RESULT)
    assert result.value is None and result.packed is not None and len(result.packed) < 1000
    assert result.content == {"kind": "value", "value": long}
    assert result.size == len(json.dumps(result.content))
    assert task.checkpoint_bytes == sum(task.checkpoints.values_list("size", flat=True)) < 2 * len(long)
    last_request = journal_of(task).history("hello")[-2]
    assert [part.content for part in last_request.parts] == [long]


def test_a_result_that_is_too_large_fails_the_task_and_the_tool_is_not_repeated(app: App, settings: Any) -> None:
    settings.HECTOR_CHECKPOINT_MAX = 5000
    task = run(app, call("report", length=1000), {"text": "Read."})
    assert (task.status, task.attempt) == (TaskStatus.FAILED, 1)
    assert task.error is not None and task.error["code"] == "checkpoint_too_large"
    assert "report" in task.error["message"] and "11," in task.error["message"]
    assert "too large" in payloads(task, "tool_call_completed")[0]["error"]

    with working():
        ended(lifecycle.retry(app, task, by="anna"))
    assert (task.status, task.output) == (TaskStatus.COMPLETED, {"text": "Read."})
    assert functions.calls["report"] == 1


def test_a_journal_does_not_grow_without_bound(app: App, settings: Any) -> None:
    settings.HECTOR_CHECKPOINT_MAX_TOTAL = 30_000
    task = run(app, call("report", length=500))  # for ever
    assert (task.status, task.attempt) == (TaskStatus.FAILED, 1)
    assert task.error is not None and task.error["code"] == "checkpoint_too_large"
    assert "HECTOR_CHECKPOINT_MAX_TOTAL" in task.error["message"]
    assert task.checkpoint_bytes < 32_000


def test_an_answer_of_the_model_that_is_too_large_fails_the_task(app: App, settings: Any) -> None:
    settings.HECTOR_CHECKPOINT_MAX = 5000
    task = run(app, {"text": "word " * 2000})
    assert task.error is not None and task.error["code"] == "checkpoint_too_large"
    assert "model's answer" in task.error["message"]
    assert task.usage["requests"] == 1 and not task.checkpoints.exists()
    assert "error" in payloads(task, "llm_completed")[0]


@pytest.mark.parametrize("code", [0, 0xD800, 0x1F600, 0xFFFF])
def test_a_result_that_the_database_would_refuse_is_kept_all_the_same(app: App, code: int) -> None:
    apply(
        app,
        one_llm_agent(call("character", code=code), {"text": "Ok."}, tools={"character": function_tool("character")}),
        by="tests",
    )
    task = submit(app)
    with working():
        ended(task)
    assert task.output == {"text": "Ok."}, task.error
    assert task.checkpoints.get(kind=Kind.TOOL_RESULT).content["value"] == f"<{chr(code)}>"


def test_a_result_that_is_not_a_number_is_kept_as_none(app: App) -> None:
    apply(
        app,
        one_llm_agent(call("not_a_number"), {"text": "Ok."}, tools={"not_a_number": function_tool("not_a_number")}),
        by="tests",
    )
    task = submit(app)
    with working():
        ended(task)
    assert task.output == {"text": "Ok."}, task.error
    assert task.checkpoints.get(kind=Kind.TOOL_RESULT).content["value"] == {"value": None, "most": None}
