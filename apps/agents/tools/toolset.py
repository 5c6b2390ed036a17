"""A toolset of one tool that is described by JSON Schema: what `command` and `http` are made of.

The arguments are checked against the schema before anything else happens, approval included; what is wrong with them
goes back to the model, which may try again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from pydantic_ai import ModelRetry, RunContext, ToolFailed
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from apps.agents import registry
from apps.agents.tools.outcomes import CallFailed, Refused
from apps.agents.tools.parameters import Parameters


class OneTool(AbstractToolset[Any]):
    """`run` gets the checked arguments. `Refused` lets the model correct its call, `CallFailed` ends the call."""

    def __init__(
        self,
        name: str,
        spec: registry.ToolSpec,
        parameters: Parameters,
        run: Callable[[dict[str, Any]], Awaitable[Any]],
        *,
        description: str,
    ) -> None:
        self._definition = ToolDefinition(
            name=name,
            description=spec.description or description,
            parameters_json_schema=parameters.schema,
            metadata=registry.tool_metadata(name, spec),
        )
        self._validator = SchemaValidator(
            core_schema.no_info_after_validator_function(parameters.check, core_schema.dict_schema())
        )
        self._run = run

    @property
    def id(self) -> str:
        return self._definition.name

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        tool = ToolsetTool(
            toolset=self, tool_def=self._definition, max_retries=ctx.max_retries, args_validator=self._validator
        )
        return {self._definition.name: tool}

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        try:
            return await self._run(tool_args)
        except Refused as refusal:
            raise ModelRetry(str(refusal)) from refusal
        except CallFailed as failure:
            raise ToolFailed(str(failure)) from failure
