"""How a shift learns that something changed in the queue, without asking all the time.

PostgreSQL: `LISTEN` on a connection of its own, watched by the event loop. SQLite: `PRAGMA data_version` of the
shared file, which changes with every commit of another connection, looked at every few milliseconds.
A missed signal costs a delay, never work: the shift also looks by itself every `POLL` seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import structlog
from django.conf import settings
from django.db import connection

from apps.queue.entries import CHANNEL

log = structlog.get_logger(__name__)
POLL = 1.0
SQLITE_LOOK = 0.008


@asynccontextmanager
async def signals(wake: Callable[[str], None]) -> AsyncIterator[None]:
    """Calls `wake(payload)` in the event loop whenever the queue changed (`"cancel"`: somebody asks to stop work)."""
    listen = _listen if connection.vendor == "postgresql" else _look
    task = asyncio.create_task(listen(wake), name="queue-signals")
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _listen(wake: Callable[[str], None]) -> None:
    params: dict[str, Any] = connection.get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        params.pop(name, None)
    while True:
        try:
            async with await psycopg.AsyncConnection.connect(autocommit=True, **params) as listener:
                await listener.execute(f"LISTEN {CHANNEL}")
                wake("")
                await _hear(listener.pgconn, wake)
        except psycopg.OperationalError as error:
            log.warning("queue_listener_lost", error=str(error))
        await asyncio.sleep(POLL)


async def _hear(server: psycopg.pq.abc.PGconn, wake: Callable[[str], None]) -> None:
    """Until the connection is lost, which raises OperationalError.

    Straight from the socket: all shifts hear every call, and `AsyncConnection.notifies` takes more than twice the time.
    """
    loop = asyncio.get_running_loop()
    lost = loop.create_future()

    def hear() -> None:
        try:
            server.consume_input()
        except psycopg.OperationalError as error:
            if not lost.done():
                lost.set_exception(error)
            return
        while (notice := server.notifies()) is not None:
            wake(notice.extra.decode())

    loop.add_reader(socket := server.socket, hear)
    try:
        await lost
    finally:
        loop.remove_reader(socket)


async def _look(wake: Callable[[str], None]) -> None:
    file = sqlite3.connect(f"file:{settings.DATABASES['default']['NAME']}?mode=ro", uri=True, isolation_level=None)
    try:
        seen = None
        while True:
            version = file.execute("PRAGMA data_version").fetchone()[0]
            if version != seen:
                seen = version
                wake("cancel")
            await asyncio.sleep(SQLITE_LOOK)
    finally:
        file.close()
