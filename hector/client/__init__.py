"""Hector over HTTP, typed: `Client` waits for answers, `AsyncClient` is awaited; both are made from one source.

    with Client("https://hector.example", token="…") as client:
        task = client.tasks.run("assistant", "Hello", timeout=60)

Lists are iterators that fetch page after page. An answer that is an error is raised as a class of
`hector.client.errors`.
"""

from __future__ import annotations

import os
from types import TracebackType
from typing import Generic, Self, TypeVar

import httpx2

from hector.client import errors
from hector.client.admin import Admin, Apps
from hector.client.agents import Agents
from hector.client.approvals import Approvals
from hector.client.connection import Async, Sync
from hector.client.dead_letters import DeadLetters
from hector.client.entry_points import EntryPoints
from hector.client.events import Events
from hector.client.exchange import Options
from hector.client.limits import LimitGroup
from hector.client.notifications import Notifications
from hector.client.sessions import Sessions
from hector.client.tasks import Tasks
from hector.client.tokens import Tokens
from hector.client.webhooks import Webhooks

C = TypeVar("C", Sync, Async)
URL = "http://127.0.0.1:8080"


def _options(url: str | None, token: str | None, app: str | None, timeout: float, retries: int) -> Options:
    chosen = (url or os.environ.get("HECTOR_URL") or URL).rstrip("/")
    return Options(chosen, token or os.environ.get("HECTOR_TOKEN"), app, timeout, retries)


class _Operations(Generic[C]):
    def __init__(self, connection: C) -> None:
        self._connection: C = connection
        self.tasks: Tasks[C] = Tasks(connection)
        self.agents: Agents[C] = Agents(connection)
        self.approvals: Approvals[C] = Approvals(connection)
        self.dead_letters: DeadLetters[C] = DeadLetters(connection)
        self.entry_points: EntryPoints[C] = EntryPoints(connection)
        self.events: Events[C] = Events(connection)
        self.sessions: Sessions[C] = Sessions(connection)
        self.notifications: Notifications[C] = Notifications(connection)
        self.limits: LimitGroup[C] = LimitGroup(connection)
        self.webhooks: Webhooks[C] = Webhooks(connection)
        self.tokens: Tokens[C] = Tokens(connection)
        self.apps: Apps[C] = Apps(connection)
        self.admin: Admin[C] = Admin(connection)


class Client(_Operations[Sync]):
    """Hector at `url` (HECTOR_URL, or this machine's port 8080), with a `token` (HECTOR_TOKEN).

    `app`: which App, for the operator; other tokens are of one. `timeout`: seconds that one answer may take, beside
    those that were asked for. `retries`: of what may be tried again (`hector.client.exchange` says what that is).
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        app: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        super().__init__(Sync(_options(url, token, app, timeout, retries), transport))

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_Operations[Async]):
    """The same, for asyncio: methods are awaited, lists and streams are asynchronous iterators."""

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        app: str | None = None,
        timeout: float = 30.0,
        retries: int = 3,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        super().__init__(Async(_options(url, token, app, timeout, retries), transport))

    async def close(self) -> None:
        await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


__all__ = ["AsyncClient", "Client", "errors"]
