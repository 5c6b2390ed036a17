"""Handlers of events: each is called for what happens in the App while the runtime runs."""

from __future__ import annotations

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Awaitable, Callable

import structlog

from hector.client import AsyncClient
from hector.client.events import AppEvent

log = structlog.get_logger(__name__)
Handler = Callable[[AppEvent], Awaitable[object] | object]


class Listeners:
    """One stream of the App's events, for the handlers of all types, as soon as there is one."""

    def __init__(self) -> None:
        self._handlers: defaultdict[str, list[Handler]] = defaultdict(list)
        self._client: AsyncClient | None = None
        self._after = 0  # the id of the last event before the start
        self._listening: asyncio.Task[None] | None = None

    def add(self, type: str, handler: Handler) -> None:
        self._handlers[type].append(handler)
        self._listen_if_there_is_need()

    async def start(self, client: AsyncClient) -> None:
        """From here on: what happened before is nobody's news."""
        async for newest in client.events.list(limit=1):
            self._after = newest.id
            break
        self._client = client
        self._listen_if_there_is_need()

    async def stop(self) -> None:
        listening, self._listening, self._client = self._listening, None, None
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])

    def _listen_if_there_is_need(self) -> None:
        if self._client is not None and self._handlers and self._listening is None:
            self._listening = asyncio.ensure_future(self._listen(self._client))

    async def _listen(self, client: AsyncClient) -> None:
        async for event in client.events.follow(after=self._after):
            for handler in self._handlers.get(event.type, ()):
                try:
                    answer = handler(event)
                    if inspect.isawaitable(answer):
                        await answer
                except Exception:  # a handler may raise anything; it is no fault of the events that follow
                    log.exception("event_handler_failed", type=event.type, event_id=event.id)
