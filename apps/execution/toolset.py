"""Every tool call of every agent goes through the journal, and where the agent's version says so, past people.

A call whose result is recorded is answered from the record. One that needs approval is deferred, which ends the run
once the other calls of the turn are done; it runs when the journal has a decision of people about exactly this call, or
a grant covers it (`apps.approvals`). Before a tool that is not declared `idempotent` starts, a "started" checkpoint is
committed, which uses the decision up. One that is found without a result was cut short, by a crash or because its
attempt was stopped, and running it again is not this program's to decide: people do.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic_ai import CallDeferred, ModelRetry, RunContext, ToolFailed
from pydantic_ai.messages import ModelResponse
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.toolsets import ToolsetTool, WrapperToolset
from pydantic_core import ValidationError, to_jsonable_python

from apps.agents.errors import HectorToolError, masked, scrub
from apps.agents.policies import Policy
from apps.agents.session import within
from apps.agents.tools.ask_human import AskHumanSpec
from apps.approvals import exact
from apps.approvals.lifecycle import Call
from apps.approvals.models import Approval, Grant
from apps.execution.gate import Asking, Gate
from apps.execution.journal import Decided, Permit, Recorded, RunJournal, Stopwatch
from apps.execution.session import RunSession
from apps.queue.faults import Point, reach
from apps.tasks.checkpoints import call_key

Kind = Approval.Kind


@dataclass(frozen=True)
class Deps:
    """What a tool may know of the run that calls it."""

    app: str
    task: UUID
    journal: RunJournal
    about: Mapping[str, Any]  # the task, as conditions see it
    grant_for: Callable[[str, Policy], Awaitable[Grant | None]]  # one that covers a call of that tool
    session: RunSession | None = None


@dataclass(frozen=True)
class _Asked:
    """One call that the model asks for. `arguments` are JSON."""

    key: str
    tool: str
    arguments: dict[str, Any]
    gate: Gate
    schema: dict[str, Any]

    def approval(self, kind: Approval.Kind, policy: Policy, **more: Any) -> Call:
        """What people are asked about it."""
        values = {"arguments": self.arguments, "risk": self.gate.spec.risk or "", **more}
        return Call(kind, self.key, self.tool, policy=policy, **values)


@dataclass
class JournaledToolset(WrapperToolset[Deps]):
    gates: Mapping[str, Gate] = field(default_factory=dict)  # by the name of the tool in the document

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Deps], tool: ToolsetTool[Deps]
    ) -> Any:
        journal = ctx.deps.journal
        key = _key(ctx)
        if (recorded := journal.recorded(key)) is not None:
            return _answer(recorded)
        facts: dict[str, Any] = (tool.tool_def.metadata or {})["hector"]
        arguments = to_jsonable_python(tool_args, inf_nan_mode="strings")
        asked = _Asked(key, name, arguments, self.gates[facts["tool"]], tool.tool_def.parameters_json_schema)
        once = not facts.get("idempotent", False)
        permit = await _permit(asked, ctx.deps, once=once)
        await journal.checkpoint()
        return await self._perform(asked, permit, tool_args, ctx, tool, facts.get("timeout"), once=once)

    async def _perform(
        self,
        asked: _Asked,
        permit: Permit,
        tool_args: dict[str, Any],
        ctx: RunContext[Deps],
        tool: ToolsetTool[Deps],
        limit: float | None,
        *,
        once: bool,
    ) -> Any:
        journal = ctx.deps.journal
        call = {"tool": asked.tool, "call": asked.key}
        started = {**call, "arguments": asked.arguments if permit.arguments is None else permit.arguments}
        session = ctx.deps.session if asked.gate.spec.uses_session else None
        state = await session.look() if session else None
        journal.call_starts(asked.key, started, permit, once=once)
        if once:
            await journal.sync()
        reach(Point.TOOL_STARTS)
        watch = Stopwatch()
        try:
            with within(state):
                recorded = await self._run(asked.tool, tool_args, permit, ctx, tool, limit)
        except HectorToolError as error:
            broken = {**call, "seconds": watch.seconds(), "error": scrub(error.message, journal.secrets)}
            journal.call_broke(asked.key, broken)
            raise
        reach(Point.TOOL_ENDED)
        recorded = Recorded(recorded.kind, masked(recorded.value, journal.secrets))  # a server may echo what it gets
        kept = session.keep(state) if session and state is not None and recorded.kind == "value" else None
        recorded = _told(recorded, permit)
        ended = {**call, "seconds": watch.seconds()}
        journal.call_ended(
            asked.key, recorded, ended if recorded.kind == "value" else {**ended, "error": recorded.value}, kept
        )
        if once:  # what follows may take long; until this is committed, a crash leaves the call in doubt
            await journal.sync()
        return _answer(recorded)

    async def _run(
        self,
        name: str,
        tool_args: dict[str, Any],
        permit: Permit,
        ctx: RunContext[Deps],
        tool: ToolsetTool[Deps],
        limit: float | None,
    ) -> Recorded:
        try:
            arguments = tool_args if permit.arguments is None else _validated(permit.arguments, ctx, tool)
            async with asyncio.timeout(limit) as clock:
                value = await self.wrapped.call_tool(name, arguments, ctx, tool)
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


# --- What lets a call run ---------------------------------------------------------------------------------------------
async def _permit(asked: _Asked, deps: Deps, *, once: bool) -> Permit:
    """What lets the call run. Raises CallDeferred if people have to decide first."""
    journal = deps.journal
    if once and journal.in_doubt(asked.key):
        raise CallDeferred({"call": _in_doubt(asked, deps)})
    if (decided := journal.decided(asked.key)) is not None and (permit := _permit_by(decided, asked)) is not None:
        return permit
    asking = _asking(asked, deps)
    if asking is None:
        return Permit()
    if isinstance(asked.gate.spec, AskHumanSpec):
        raise CallDeferred({"call": _question(asked, asked.gate.spec, asking)})
    if (grant := await deps.grant_for(asked.tool, asking.policy)) is not None:
        return Permit(grant=grant)
    raise CallDeferred({"call": _tool_call(asked, asking, journal)})


def _permit_by(decided: Decided, asked: _Asked) -> Permit | None:
    """What a decision lets run, to the last character: the call as it is asked for, or as people have changed it."""
    for arguments, changed in ((asked.arguments, None), (decided.arguments, decided.arguments)):
        if arguments is not None and exact.digest(asked.tool, arguments) == decided.digest:
            return Permit(decided, changed)
    return None


def _asking(asked: _Asked, deps: Deps) -> Asking | None:
    facts = {"args": asked.arguments, "tool": asked.tool, "agent": deps.journal.run.agent, "task": deps.about}
    return asked.gate.asks(asked.tool, facts)


def _tool_call(asked: _Asked, asking: Asking, journal: RunJournal) -> Call:
    spec = asked.gate.spec
    broke = journal.broke(asked.key)
    before = f"It ran before, and failed: {broke} To run once more it has to be approved again." if broke else ""
    prompt = spec.approval_prompt or f"The agent wants to call the tool {asked.tool}."
    return asked.approval(
        Kind.TOOL_CALL,
        asking.policy,
        prompt=" ".join(filter(None, [prompt, asking.reason, before])),
        schema=asked.schema,
        on_reject=spec.on_reject,
    )


def _question(asked: _Asked, spec: AskHumanSpec, asking: Asking) -> Call:
    prompt = str(asked.arguments.get("question", ""))
    return asked.approval(
        Kind.QUESTION, asking.policy, prompt=prompt, schema=spec.answer_schema, on_reject=spec.on_reject
    )


def _in_doubt(asked: _Asked, deps: Deps) -> Call:
    """By the policy that would have asked about the call, but nothing is decided by time alone."""
    asking = _asking(asked, deps)
    arguments = deps.journal.started_with(asked.key) or asked.arguments
    return asked.approval(Kind.IN_DOUBT, asking.policy.without_end() if asking else Policy(), arguments=arguments)


# --- What people have changed -----------------------------------------------------------------------------------------
def _validated(arguments: dict[str, Any], ctx: RunContext[Deps], tool: ToolsetTool[Deps]) -> dict[str, Any]:
    """What people gave, as the tool takes it. Raises ToolFailed if it does not."""
    try:
        values: dict[str, Any] = tool.args_validator.validate_json(
            json.dumps(arguments), context=ctx.validation_context
        )
    except ValidationError as error:
        raise ToolFailed(f"The tool refused the arguments, so it did not run: {error}") from None
    return values


def _told(recorded: Recorded, permit: Permit) -> Recorded:
    """The result, with what the model has to know of the call: that it was not quite its own."""
    if permit.arguments is None:
        return recorded
    note = "A person approved this call with other arguments than yours; these were used instead"
    if recorded.kind == "value":
        return Recorded("value", {"note": note + ".", "arguments": permit.arguments, "result": recorded.value})
    return Recorded(recorded.kind, f"{note}: {json.dumps(permit.arguments)}\n{recorded.value}")


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
    earlier = len(ctx.deps.session.earlier) if ctx.deps.session else 0
    turn = sum(isinstance(message, ModelResponse) for message in ctx.messages[earlier:])
    return call_key(turn, ctx.tool_call_id or "")
