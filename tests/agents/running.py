"""Running one tool call the way an agent does, without a model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset


async def call(toolset: AbstractToolset[Any], tool: str | None = None, /, **arguments: Any) -> ToolReturnPart:
    """What the model gets to see of one call of the toolset's (only) tool."""

    def model(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if any(isinstance(message, ModelResponse) for message in messages):
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart(tool or info.function_tools[0].name, arguments, "the_call")])

    result = await Agent(FunctionModel(model), toolsets=[toolset], retries=3).run("call it")
    for message in result.all_messages():
        for part in message.parts if isinstance(message, ModelRequest) else ():
            if isinstance(part, ToolReturnPart):
                return part
    raise AssertionError("the tool was not called")


async def definition(toolset: AbstractToolset[Any]) -> ToolDefinition:
    """The toolset's (first) tool as a model is told of it."""
    model = TestModel(call_tools=[])
    await Agent(model, toolsets=[toolset]).run("what is there?")
    assert model.last_model_request_parameters is not None
    return model.last_model_request_parameters.function_tools[0]


async def until(condition: Callable[[], bool], *, within: float = 10) -> None:
    """Waits for the condition, and fails if it does not come true."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
