"""Both clients against a real server, and behind a network that can be cut.

They know the server by its API alone, which is the same on either database; so these tests run on SQLite.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
from pytest_django.live_server_helper import LiveServer

from apps.agents.config.apply import apply
from apps.tenancy import lifecycle
from apps.tenancy.tokens import issue_app_token
from hector import AsyncClient, Client
from hector.client.calls import Group
from tests.support import agents

DOCUMENT = agents.document(
    {
        "echo": agents.function("echo"),
        "boom": agents.function("boom", retry={"max_retries": 0}),
        "picky": agents.function("echo", input_schema={"type": "object", "required": ["order"]}),
        "asker": {"type": "llm", "llm": "main", "tools": ["charge"]},
    },
    {"main": agents.scripted(agents.call("charge", amount=3), {"text": "Done."})},
    {"charge": agents.function_tool("charge", require_approval=True)},
)


@dataclass
class Network:
    """What lies between: `lose` loses the answers to that many requests, `cut` breaks streams after that many bytes."""

    lose: int = 0
    cut: list[int] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)

    def passes(self, request: httpx2.Request) -> Callable[[], None]:
        self.sent.append(f"{request.method} {request.url.path}")
        lost, self.lose = self.lose > 0, max(0, self.lose - 1)

        def arrive() -> None:
            if lost:
                raise httpx2.ReadError("the connection broke", request=request)

        return arrive


class Wire(httpx2.HTTPTransport):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        arrive = self._network.passes(request)
        response = super().handle_request(request)
        try:
            arrive()
        except httpx2.ReadError:
            response.close()
            raise
        if self._network.cut and "event-stream" in response.headers.get("content-type", ""):
            response.stream = Cut(response.stream, self._network.cut.pop(0))
        return response


class AsyncWire(httpx2.AsyncHTTPTransport):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self._network = network

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        arrive = self._network.passes(request)
        response = await super().handle_async_request(request)
        try:
            arrive()
        except httpx2.ReadError:
            await response.aclose()
            raise
        if self._network.cut and "event-stream" in response.headers.get("content-type", ""):
            response.stream = Cut(response.stream, self._network.cut.pop(0))
        return response


class Cut(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A stream that breaks after so many bytes."""

    def __init__(self, stream: Any, after: int) -> None:
        self._stream, self._left = stream, after

    def __iter__(self) -> Iterator[bytes]:
        for part in self._stream:
            yield self._part(part)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield self._part(part)

    def _part(self, part: bytes) -> bytes:
        if self._left <= 0:
            raise httpx2.ReadError("the connection broke")
        part, self._left = part[: self._left], self._left - len(part)
        return part

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Awaited:
    """An asynchronous client, used as the other one is: so one test is about both."""

    def __init__(self, of: Any, runner: asyncio.Runner) -> None:
        self._of, self._runner = of, runner

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        if isinstance(found, Group):
            return Awaited(found, self._runner)
        return lambda *args, **kwargs: self._result(found(*args, **kwargs))

    def _result(self, value: Any) -> Any:
        if hasattr(value, "__anext__"):
            return self._each(value)
        return self._runner.run(_awaited(value))

    def _each(self, values: Any) -> Iterator[Any]:
        while True:
            try:
                yield self._runner.run(_awaited(anext(values)))
            except StopAsyncIteration:
                return


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def connect(request: pytest.FixtureRequest, network: Network) -> Iterator[Callable[..., Any]]:
    """Makes clients of the kind that the test is about."""
    clients: list[Any] = []
    with asyncio.Runner() as runner:

        def make(url: str, token: str | None = None, **options: Any) -> Any:
            if request.param == "async":
                clients.append(Awaited(AsyncClient(url, token, transport=AsyncWire(network), **options), runner))
            else:
                clients.append(Client(url, token, transport=Wire(network), **options))
            return clients[-1]

        yield make
        for client in clients:
            client.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "connect" in metafunc.fixturenames:
        # Both are made of the same calls and exchanges, so that one of them is a sample.
        kinds = ["sync", pytest.param("async", marks=pytest.mark.sampled())]
        metafunc.parametrize("connect", kinds, indirect=True)


@pytest.fixture
def server(live_server: LiveServer, settings: Any) -> str:
    """Its address. The App `acme` has the agents of DOCUMENT."""
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    apply(lifecycle.get("acme"), DOCUMENT, by="tests")
    return live_server.url


@pytest.fixture
def client(connect: Callable[..., Any], server: str) -> Any:
    """Of somebody of `acme` who may do everything there."""
    return connect(server, issue_app_token("acme", role="admin"))
