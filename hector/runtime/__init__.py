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
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from hector.client.errors import HectorError
from hector.client.tasks import Task

if TYPE_CHECKING:
    from hector.client import AsyncClient
    from hector.runtime.engine import Engine

Document = dict[str, Any]


class CannotStart(HectorError):
    """The runtime cannot start; the text says why and what to do."""


@dataclass(frozen=True)
class AgentRuntimeConfig:
    """Which installation, and how.

    `home`: the directory for state (HECTOR_HOME, or `.hector`); `database`: its URL (SQLite in `home`); `app`: whose
    agents and tasks; `document`: the App's configuration, as an object, YAML text, or a file: it is put in force at the
    start. Left out, the one in force stays. `slots`: tasks that run at the same time; `grace`: seconds that a stop may
    take; `settings`: other `HECTOR_…` variables.
    """

    home: str | Path | None = None
    database: str | None = None
    app: str = "default"
    document: Document | str | Path | None = None
    slots: int = 32
    grace: float = 30.0
    settings: Mapping[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        database = self.database
        if database is None and self.home is not None:  # and not what a variable says of another home
            database = f"sqlite://{Path(self.home).absolute()}/hector.db"
        own = {"HECTOR_HOME": self.home, "HECTOR_DATABASE": database, "HECTOR_GRACE": self.grace}
        return {name: str(value) for name, value in {**own, **self.settings}.items() if value is not None}


class AgentRuntime:
    """Accepts and runs work from `start` to `stop`; in between, `client` does everything that the HTTP API does."""

    def __init__(self, config: AgentRuntimeConfig | None = None) -> None:
        self.config = config or AgentRuntimeConfig()
        self._engine: Engine | None = None
        self._client: AsyncClient | None = None

    @property
    def client(self) -> AsyncClient:
        if self._client is None:
            raise CannotStart("the runtime has not been started: `await runtime.start()`")
        return self._client

    async def start(self) -> None:
        """Migrates, puts the document and the program's functions in force, and begins to work.

        Raises CannotStart, also where another process that runs work here could not run this program's functions.
        """
        if self._engine is not None:
            raise CannotStart("the runtime has been started already")
        from hector.runtime import starting

        self._engine = await asyncio.to_thread(starting.engine_of, self.config)
        self._client, self._end_threads = starting.client_of(self.config)
        self._engine.start()

    async def stop(self) -> None:
        """Lets work reach a checkpoint, keeps the rest for the next start, and returns when that is done."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        await asyncio.to_thread(engine.stop)
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


__all__ = ["AgentRuntime", "AgentRuntimeConfig", "CannotStart", "configure_logging"]
