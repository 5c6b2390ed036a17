"""`type: function`: Python functions as tools."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import ToolReturnPart
from pydantic_ai.models.test import TestModel
from pytest_django import Settings

from apps.agents.errors import PermanentError, RetryableError
from apps.agents.registry import BuildContext
from apps.agents.tools.function import FunctionSpec, build
from tests.agents.running import call, definition, until

pytestmark = pytest.mark.anyio
PACKAGE = "tests.agents.sample_tools"


@pytest.fixture(autouse=True)
def _allowed(settings: Settings) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.agents"]


def tool(name: str, context: BuildContext, **more: Any) -> Any:
    return build(name, FunctionSpec(type="function", handler=f"{PACKAGE}.{name}", **more), context)


async def test_the_model_sees_the_signature_and_the_docstring(context: BuildContext) -> None:
    found = await definition(tool("lookup_order", context, idempotent=True, timeout="5s"))

    assert found.name == "lookup_order"
    assert found.description == "Finds an order."
    assert found.parameters_json_schema["properties"]["number"] == {
        "type": "integer",
        "description": "The order's number.",
    }
    assert found.parameters_json_schema["required"] == ["number"]
    assert found.metadata == {"hector": {"tool": "lookup_order", "idempotent": True, "timeout": 5.0}}


async def test_a_call_returns_what_the_function_returns(context: BuildContext) -> None:
    answer = await call(tool("lookup_order", context), number=7)

    assert answer.content == {"number": 7, "status": "shipped", "verbose": False}


async def test_wrong_arguments_go_back_to_the_model(context: BuildContext) -> None:
    answer = await call(tool("lookup_order", context), number="seven")

    assert answer.outcome == "retried"


async def test_an_exception_is_a_failed_call_without_a_traceback(context: BuildContext) -> None:
    answer = await call(tool("broken", context))

    assert answer.outcome == "failed"
    assert answer.content == "LookupError: no such customer"


async def test_an_error_that_says_so_fails_the_attempt(context: BuildContext) -> None:
    with pytest.raises(RetryableError) as retryable:
        await call(tool("out_of_service", context))
    with pytest.raises(PermanentError) as permanent:
        await call(tool("forbidden", context))

    assert retryable.value.retry_after == 5
    assert permanent.value.code == "account_closed"


async def test_a_function_may_ask_for_the_run_it_serves(context: BuildContext) -> None:
    agent = Agent(TestModel(), toolsets=[tool("who_asks", context)], deps_type=str)

    result = await agent.run("go", deps="the run's deps")

    parts = [part for message in result.all_messages() for part in message.parts]
    assert [part.content for part in parts if isinstance(part, ToolReturnPart)] == ["the run's deps"]


async def test_a_cancelled_call_does_not_wait_for_a_blocked_thread(context: BuildContext, tmp_path: Path) -> None:
    marker = tmp_path / "running"
    calling = asyncio.create_task(call(tool("blocking", context), path=str(marker)))
    await until(marker.exists)

    calling.cancel()
    try:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(calling, timeout=2)
    finally:
        marker.unlink()


@pytest.mark.parametrize("name", ["run", "Path", "asyncio", "no_such_function"])
async def test_what_a_module_only_imports_is_not_offered(context: BuildContext, name: str) -> None:
    with pytest.raises(PermanentError) as raised:
        tool(name, context)

    assert raised.value.code == "handler_refused"
