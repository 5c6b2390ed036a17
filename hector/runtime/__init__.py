"""Hector in a program: the durable engine of `hector serve`, without its server, in this process.

    async with AgentRuntime(config=AgentRuntimeConfig(home=".hector")) as runtime:
        task = await runtime.submit("greeter", "Hello")
        print((await runtime.wait_for_completion(task, timeout=60)).output)

What was accepted is in the database and survives the process: a program that was killed goes on with it when it
starts again. The limit: work runs only while a runtime (or a worker) does. There is one installation per process, for
Django's settings are the process's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from hector.client.events import AppEvent, EventType
from hector.client.tasks import Task
from hector.runtime.config import AgentRuntimeConfig, CannotStart, EntryPointSpec
from hector.runtime.listening import Handler, Listeners
from hector.runtime.stats import Stats, stats_of

if TYPE_CHECKING:
    from hector.client import AsyncClient
    from hector.runtime.engine import Engine


class AgentRuntime:
    """Accepts and runs work from `start` to `stop`; in between, `client` does everything that the HTTP API does."""

    def __init__(self, config: AgentRuntimeConfig | None = None) -> None:
        self.config = config or AgentRuntimeConfig()
        self._engine: Engine | None = None
        self._client: AsyncClient | None = None
        self._entry_points: dict[str, EntryPointSpec] = {}
        self._listeners = Listeners()

    @property
    def client(self) -> AsyncClient:
        if self._client is None:
            raise CannotStart("the runtime has not been started: `await runtime.start()`")
        return self._client

    def register_entry_point(self, spec: EntryPointSpec) -> None:
        """Puts an entry point in force at the next start, beside those of the document."""
        self._entry_points[spec.id] = spec

    def on(self, type: EventType | str, handler: Handler | None = None) -> Any:
        """Calls the handler, a function or a coroutine function, for each event of the type from the start on.

        Also a decorator. One at a time, in order, in the program's event loop, and as long as the runtime runs: what is
        to survive the program is an entry point of type `event`. A handler that raises is logged, and the next event
        follows.
        """
        if handler is None:
            return lambda decorated: self.on(type, decorated)
        self._listeners.add(str(type), handler)
        return handler

    async def start(self) -> None:
        """Migrates, puts the document and the program's functions in force, and begins to work.

        Raises CannotStart, also where another process that runs work here could not run this program's functions.
        """
        if self._engine is not None:
            raise CannotStart("the runtime has been started already")
        from hector.runtime import starting

        self._engine = await asyncio.to_thread(starting.engine_of, self.config, self._entry_points)
        self._client, self._end_threads = starting.client_of(self.config)
        try:
            await self._listeners.start(self._client)
        except BaseException:  # a cancellation, too: whoever could not start has nothing to stop
            await self.stop()
            raise
        self._engine.start()

    async def stop(self) -> None:
        """Lets work reach a checkpoint, keeps the rest for the next start, and returns when that is done."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        await asyncio.to_thread(engine.stop)
        await self._listeners.stop()
        client, self._client = self.client, None
        await client.close()
        await asyncio.to_thread(self._end_threads)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def submit(self, agent: str, input: str | Mapping[str, Any], **options: Any) -> str:
        """Accepts a task of an agent; its id. `options` are those of `client.tasks.submit`."""
        return (await self.client.tasks.submit(agent, input, **options)).id

    async def trigger(self, id: str, input: str | Mapping[str, Any] | None = None) -> str:
        """Starts an entry point's work now; the id of its task. Raises Conflict where it starts none, and says why."""
        return (await self.client.entry_points.trigger(id, input)).id

    async def pause_timers(self, *, reason: str = "") -> None:
        """No timer of the App starts anything until they are resumed, not even after a new start."""
        await self.client.entry_points.pause_timers(reason=reason)

    async def resume_timers(self, *, reason: str = "") -> None:
        """From now on: what they have left out is not made up for."""
        await self.client.entry_points.resume_timers(reason=reason)

    async def get_stats(self) -> Stats:
        """What runs and waits now, of the App and of each entry point."""
        return await stats_of(self.client, self.config.app)

    async def wait_for_completion(self, id: str, timeout: float | None = None) -> Task:
        """The task, once it has ended.

        Raises NotFinished after `timeout` seconds, NotFound for one that is unknown, NoLongerKept for one that
        retention has removed.
        """
        return await self.client.tasks.wait(id, timeout)


def configure_logging(level: str = "info", format: Literal["json", "human", "auto"] = "auto") -> None:
    """Lets Hector log on stderr, in its own way: one line per event, for people or as JSON, without secrets.

    Without this, its events go where the program's own logging puts them.
    """
    from hector_site import logs

    logs.configure({"level": level, "format": logs.chosen_format(format), "file": ""})


__all__ = [
    "AgentRuntime",
    "AgentRuntimeConfig",
    "AppEvent",
    "CannotStart",
    "EntryPointSpec",
    "EventType",
    "Stats",
    "configure_logging",
]
