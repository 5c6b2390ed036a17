"""The API of the installation on this machine, without a server: requests are answered in this process.

What the API does, and how it refuses, is therefore the same here as over HTTP. Django must be set up.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections

from apps.accounts.permissions import Caller
from apps.tenancy.http.authentication import CALLER
from hector.client import AsyncClient, Client

THREADS = 32


def client(caller: Caller, *, app: str | None = None) -> Client:
    return Client(_address(), app=app, retries=0, transport=httpx2.WSGITransport(_answering(caller)))


def async_client(caller: Caller, *, app: str | None = None) -> tuple[AsyncClient, Callable[[], None]]:
    """A client whose requests are answered in threads, and what ends these when it is closed."""
    transport = InThreads(_answering(caller))
    return AsyncClient(_address(), app=app, transport=transport), transport.stop


def _answering(caller: Caller) -> Callable[..., Iterable[bytes]]:
    """The WSGI application, for which everything comes from the caller."""
    answer = WSGIHandler()

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answered: Iterable[bytes] = answer({**environ, CALLER: caller}, start_response)
        return answered

    return application


def _address() -> str:
    """By a name that the installation goes by."""
    host = settings.ALLOWED_HOSTS[0].lstrip(".") if settings.ALLOWED_HOSTS else "localhost"
    return f"http://{'localhost' if host == '*' else host}"


class InThreads(httpx2.AsyncBaseTransport):
    """Answers each request in one of a few threads, which keep their database connections."""

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self._application = application
        self._opened: list[Any] = []
        self._threads = ThreadPoolExecutor(THREADS, "hector", self._begin)

    def _begin(self) -> None:
        connections["default"].inc_thread_sharing()  # `stop` closes it
        self._opened.append(connections["default"])

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        here, there = socket.socketpair()
        answer = httpx2.WSGITransport(_reached_by(there, self._application))
        try:
            response = await self._in_thread(answer.handle_request, request)
        except BaseException:  # a cancellation, too: nobody else closes them
            here.close()
            there.close()
            raise
        assert isinstance(response.stream, httpx2.SyncByteStream)
        body = _Body(response.stream, self._in_thread, (here, there))
        return httpx2.Response(response.status_code, headers=response.headers, stream=body)

    async def _in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)

    def stop(self) -> None:
        """Waits for what is being answered, and closes the connections."""
        self._threads.shutdown()
        for connection in self._opened:
            connection.close()


def _reached_by(connection: socket.socket, application: Callable[..., Iterable[bytes]]) -> Any:
    """A long answer ends when its connection is closed, by which alone it knows that nobody listens any more."""

    def with_connection(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return application({**environ, "gunicorn.socket": connection}, start_response)

    return with_connection


class _Body(httpx2.AsyncByteStream):
    """An answer's parts, each got in a thread."""

    def __init__(
        self, stream: httpx2.SyncByteStream, in_thread: Callable[..., Any], ends: tuple[socket.socket, socket.socket]
    ) -> None:
        self._stream, self._in_thread, self._ends = stream, in_thread, ends
        self._parts = iter(stream)
        self._getting: asyncio.Future[bytes | None] | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self._getting = asyncio.ensure_future(self._in_thread(next, self._parts, None))
            part = await asyncio.shield(self._getting)
            if part is None:
                return
            yield part

    async def aclose(self) -> None:
        mine, theirs = self._ends
        mine.close()
        try:
            if self._getting is not None:
                await asyncio.wait([self._getting])
            await self._in_thread(self._stream.close)
        finally:  # also where whoever closes it is cancelled, or the threads have ended
            theirs.close()
