"""The two ways in which `hector.client.exchange` is driven: with waiting threads, and with asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar

import httpx2

from hector.client.calls import Call, Page, Pause, Steps, Stream, following_page
from hector.client.errors import APIError
from hector.client.exchange import Exchange, Options, Subscription, exchange, exchanges

T = TypeVar("T")


class Sync:
    """Waits for the answers."""

    def __init__(self, options: Options, transport: httpx2.BaseTransport | None = None) -> None:
        self.options = options
        self._http = httpx2.Client(base_url=options.url, headers=options.headers(), transport=transport)

    def call(self, call: Call[T]) -> T:
        return self._drive(exchange(call, self.options))

    def flow(self, steps: Steps[T]) -> T:
        return self._drive(exchanges(steps, self.options))

    def pages(self, call: Call[Page[T]]) -> Iterator[T]:
        following: Call[Page[T]] | None = call
        while following is not None:
            page = self.call(following)
            yield from page.results
            following = following_page(following, page)

    def stream(self, stream: Stream[T]) -> Iterator[T]:
        subscription = Subscription(stream, self.options)
        while not subscription.over:
            failed: Exception | None = None
            try:
                with self._http.stream(**subscription.request()) as response:
                    if response.status_code >= 400:
                        response.read()
                    subscription.opened(response)
                    for line in response.iter_lines():
                        yield from subscription.take(line)
            except (httpx2.RequestError, APIError) as error:
                failed = error
            if not subscription.over:
                time.sleep(subscription.pause(failed).seconds)

    def close(self) -> None:
        self._http.close()

    def _drive(self, steps: Exchange[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    if isinstance(step, Pause):
                        time.sleep(step.seconds)
                        step = next(steps)
                    else:
                        step = steps.send(self._http.request(**step))
                except httpx2.RequestError as error:
                    step = steps.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result


class Async:
    """Lets others run while it waits for the answers."""

    def __init__(self, options: Options, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self.options = options
        self._http = httpx2.AsyncClient(base_url=options.url, headers=options.headers(), transport=transport)

    async def call(self, call: Call[T]) -> T:
        return await self._drive(exchange(call, self.options))

    async def flow(self, steps: Steps[T]) -> T:
        return await self._drive(exchanges(steps, self.options))

    async def pages(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        following: Call[Page[T]] | None = call
        while following is not None:
            page = await self.call(following)
            for result in page.results:
                yield result
            following = following_page(following, page)

    async def stream(self, stream: Stream[T]) -> AsyncIterator[T]:
        subscription = Subscription(stream, self.options)
        while not subscription.over:
            failed: Exception | None = None
            try:
                async with self._http.stream(**subscription.request()) as response:
                    if response.status_code >= 400:
                        await response.aread()
                    subscription.opened(response)
                    async for line in response.aiter_lines():
                        for event in subscription.take(line):
                            yield event
            except (httpx2.RequestError, APIError) as error:
                failed = error
            if not subscription.over:
                await asyncio.sleep(subscription.pause(failed).seconds)

    async def close(self) -> None:
        await self._http.aclose()

    async def _drive(self, steps: Exchange[T]) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    if isinstance(step, Pause):
                        await asyncio.sleep(step.seconds)
                        step = next(steps)
                    else:
                        step = steps.send(await self._http.request(**step))
                except httpx2.RequestError as error:
                    step = steps.throw(error)
        except StopIteration as end:
            result: T = end.value
            return result
