"""The conversation that the console shows, read from stored checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

from apps.console import conversation
from apps.tasks import lifecycle
from apps.tenancy.models import App
from tests.support.agents import apply, call, function_tool, one_llm_agent, submit
from tests.support.work import ended, working


@pytest.mark.parametrize(("length", "shown"), [(3, "long story " * 3), (1000, "long story " * 1000)])
def test_a_result_is_shown_though_it_is_kept_elsewhere(app: App, length: int, shown: str) -> None:
    assert ("Answer of report", shown) in said(app, length)


def test_a_very_long_result_is_named_and_not_shown(app: App) -> None:
    assert ("Answer of report", "77,030 bytes, which checkpoint 3 has") in said(app, 7000)


def test_what_was_set_aside_is_no_part_of_it(app: App) -> None:
    task = submitted(app, 3, {"error": {"status": 401}})
    lifecycle.retry(app, task, by="anna", from_checkpoint=1)
    assert [line.speaker for line in conversation.of(task).lines] == ["Input", "Calls report"]


def said(app: App, length: int) -> list[tuple[str, Any]]:
    return [(line.speaker, line.content) for line in conversation.of(submitted(app, length, {"text": "Done."})).lines]


def submitted(app: App, length: int, last: dict[str, Any]) -> Any:
    document = one_llm_agent(call("report", length=length), last, tools={"report": function_tool("report")})
    apply(app, document, by="tests")
    task = submit(app)
    with working():
        return ended(task)
