"""Agents ready to run: built once per App and agent version, kept in the worker, shared by its tasks.

A built agent holds its model's HTTP client and its tools' connections (an MCP server, say). It is dropped when it was
not used for a while, when too many are kept, or when the App's secrets changed since.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog
from pydantic_ai import Agent, StructuredDict
from pydantic_ai.models import Model
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.toolsets import CombinedToolset

from apps.agents.config.references import REFERENCE, resolver
from apps.agents.config.spec import AgentSpec
from apps.agents.llms import chain
from apps.agents.registry import BuildContext, tool_types
from apps.execution.gate import gates
from apps.execution.toolset import Deps, JournaledToolset
from apps.queue.database import DatabaseThread
from apps.tasks.lifecycle import Started
from apps.tenancy import secrets
from apps.tenancy.models import App
from apps.tenancy.paths import workdir

log = structlog.get_logger(__name__)
KEPT = 200
SECRETS_CHECKED_AFTER = 10.0  # seconds


@dataclass
class Runtime:
    """A built agent. Hold it with `use`, so that it is not closed under a run."""

    spec: AgentSpec
    agent: Agent[Deps, Any]
    model: Model
    stamp: Any  # of the secrets that it was built with
    secrets_used: set[str]  # their values, to be hidden in whatever a server or tool says
    users: int = 0
    dropped: bool = False  # closed as soon as nobody uses it
    checked: float = field(default_factory=time.monotonic)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)
    _keeper: asyncio.Task[None] | None = None

    def keep_open(self, toolset: Any) -> None:
        """Enters the toolset in a task of its own, for its connections must be closed by the task that opened them."""

        async def keeper() -> None:
            async with contextlib.AsyncExitStack() as stack:
                try:
                    await stack.enter_async_context(toolset)
                except Exception as error:  # noqa: BLE001 - the run that needs the tool meets the same error and reports it
                    log.warning("toolset_not_opened", agent=self.spec.name, error=str(error))
                    return
                await self._closing.wait()

        self._keeper = asyncio.create_task(keeper(), name=f"toolset of {self.spec.name}")

    async def close(self) -> None:
        self._closing.set()
        if self._keeper is not None:
            await asyncio.wait([self._keeper], timeout=5)
        await chain.aclose(self.model)


class Runtimes:
    """The built agents of one event loop."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, str], Runtime] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def use(self, app: App, started: Started, database: DatabaseThread) -> Any:
        """The runtime of the task's agent version, built if need be."""
        runtime = await self._current(app, started, database)
        runtime.users += 1
        try:
            yield runtime
        finally:
            runtime.users -= 1
            if runtime.dropped and not runtime.users:
                self._close(runtime)

    async def _current(self, app: App, started: Started, database: DatabaseThread) -> Runtime:
        key = (app.pk, started.digest)
        runtime = self._kept.get(key)
        if runtime is not None and time.monotonic() - runtime.checked > SECRETS_CHECKED_AFTER:
            runtime.checked = time.monotonic()
            if await database.call(secrets.stamp, app) != runtime.stamp:
                self._drop(key)
                runtime = None
        if runtime is None:
            stamp = await database.call(secrets.stamp, app)
            resolve = await database.call(resolver, app)
            runtime = self._kept.get(key) or build(app, started.spec, resolve, stamp)
            self._kept[key] = runtime
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._drop(next(iter(self._kept)))
        return runtime

    def _drop(self, key: tuple[int, str]) -> None:
        if (runtime := self._kept.pop(key, None)) is None:
            return
        runtime.dropped = True
        if not runtime.users:
            self._close(runtime)

    def _close(self, runtime: Runtime) -> None:
        task = asyncio.create_task(runtime.close(), name=f"closing {runtime.spec.name}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _answer_type(spec: AgentSpec) -> Any:
    return StructuredDict(spec.output_schema, name="answer") if spec.output_schema else str


def build(app: App, spec: AgentSpec, resolve: Callable[[str], str], stamp: Any) -> Runtime:
    """An llm agent from its spec. Raises the config's errors (a missing secret, say), which are permanent."""
    secrets_used: set[str] = set()

    def fill(text: str) -> str:
        secrets_used.update(resolve(reference[0]) for reference in REFERENCE.finditer(text))
        return resolve(text)

    context = BuildContext(app.name, workdir(app), fill)
    model = chain.build_chain(spec.llms, context)
    toolsets = [tool_types[tool.type].build(name, tool, context) for name, tool in spec.tools.items()]
    tools = JournaledToolset(CombinedToolset(toolsets), gates(spec))
    agent: Agent[Deps, Any] = Agent(
        model,
        name=spec.name,
        instructions=spec.instruction or None,
        output_type=[_answer_type(spec), DeferredToolRequests],
        deps_type=Deps,
        toolsets=[tools],
        retries=2,
    )
    runtime = Runtime(spec, agent, model, stamp, secrets_used)
    if toolsets:
        runtime.keep_open(tools)
    return runtime
