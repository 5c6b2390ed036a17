"""Every tool call of every agent goes through the journal.

A call whose result is recorded is answered from the record. Before a tool that is not declared `idempotent` starts, a
"started" checkpoint is committed; one that is found without a result was cut short, by a crash or because its attempt
was stopped, and running it again is not this program's to decide: the call is deferred, which ends the run once the
other calls of the turn are done, and a person decides (`apps.approvals`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_ai import CallDeferred, ModelRetry, RunContext, ToolFailed
from pydantic_ai.messages import ModelResponse
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.toolsets import ToolsetTool, WrapperToolset
from pydantic_core import to_jsonable_python

from apps.agents.errors import HectorToolError, scrub
from apps.approvals.lifecycle import Call
from apps.approvals.models import Approval
from apps.execution.journal import Recorded, RunJournal, Stopwatch
from apps.queue.faults import Point, reach
from apps.tasks.checkpoints import call_key


@dataclass(frozen=True)
class Deps:
    """What a tool may know of the run that calls it."""

    app: str
    task: UUID
    journal: RunJournal


class JournaledToolset(WrapperToolset[Deps]):
    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Deps], tool: ToolsetTool[Deps]
    ) -> Any:
        journal = ctx.deps.journal
        key = _key(ctx)
        if (recorded := journal.recorded(key)) is not None:
            return _answer(recorded)
        facts: dict[str, Any] = (tool.tool_def.metadata or {}).get("hector", {})
        once = not facts.get("idempotent", False)
        if once and journal.in_doubt(key):
            arguments = to_jsonable_python(tool_args)
            raise CallDeferred({"call": Call(Approval.Kind.IN_DOUBT, key, name, arguments)})
        await journal.checkpoint()
        call = {"tool": name, "call": key}
        journal.call_starts(key, {**call, "arguments": to_jsonable_python(tool_args)}, once=once)
        if once:
            await journal.sync()
        reach(Point.TOOL_STARTS)
        watch = Stopwatch()
        try:
            recorded = await self._run(name, tool_args, ctx, tool, facts.get("timeout"))
        except HectorToolError as error:
            journal.call_broke(
                key, {**call, "seconds": watch.seconds(), "error": scrub(error.message, journal.secrets)}
            )
            raise
        reach(Point.TOOL_ENDED)
        ended = {**call, "seconds": watch.seconds()}
        journal.call_ended(key, recorded, ended if recorded.kind == "value" else {**ended, "error": recorded.value})
        if once:  # what follows may take long; until this is committed, a crash leaves the call in doubt
            await journal.sync()
        return _answer(recorded)

    async def _run(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Deps], tool: ToolsetTool[Deps], limit: float | None
    ) -> Recorded:
        try:
            async with asyncio.timeout(limit) as clock:
                value = await self.wrapped.call_tool(name, tool_args, ctx, tool)
        except ModelRetry as error:
            return Recorded("retry", error.message)
        except ToolFailed as error:
            return Recorded("failed", error.message)
        except TimeoutError:
            if not clock.expired():
                raise
            return Recorded("failed", f"The tool was stopped: it took longer than {limit:g} seconds.")
        return Recorded(
            "value", to_jsonable_python(value, serialize_unknown=True, bytes_mode="base64", inf_nan_mode="null")
        )


def deferred(requests: DeferredToolRequests) -> list[Call]:
    """The calls that a run ended without, for want of a decision."""
    return [requests.metadata[call.tool_call_id]["call"] for call in requests.calls]


def _answer(recorded: Recorded) -> Any:
    if recorded.kind == "retry":
        raise ModelRetry(recorded.value)
    if recorded.kind == "failed":
        raise ToolFailed(recorded.value)
    return recorded.value


def _key(ctx: RunContext[Deps]) -> str:
    """Names a call within its task: which model turn asked for it, and by what id (ids repeat between turns)."""
    turn = sum(isinstance(message, ModelResponse) for message in ctx.messages)
    return call_key(turn, ctx.tool_call_id or "")
