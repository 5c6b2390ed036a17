"""Whoever listens hears of every commit that gave work, also after the connection was lost."""

from __future__ import annotations

import asyncio

import pytest
from asgiref.sync import sync_to_async

from apps.queue import entries, sql
from apps.queue.wakeup import signals
from tests.support import environment

pytestmark = [
    pytest.mark.skipif(environment.SERVER is None, reason="SQLite's workers look at the file, and listen to nobody"),
    pytest.mark.django_db(transaction=True),
]
SOON = 10.0  # seconds


def _cut_off_listeners() -> None:
    """Their connections are ended by the server, as in a restart."""
    sql.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
    )


async def _listened(cut_off: bool) -> list[str]:
    heard: list[str] = []
    news = asyncio.Event()

    def wake(payload: str) -> None:
        heard.append(payload)
        news.set()

    async def next_news() -> None:
        async with asyncio.timeout(SOON):
            await news.wait()
        news.clear()

    async with signals(wake):
        await next_news()  # "look once": something may have been said before anybody listened
        if cut_off:
            await sync_to_async(_cut_off_listeners)()
            await next_news()  # and again, once connected again
        heard.clear()
        await sync_to_async(entries.wake)("cancel")
        await next_news()
    return heard


def test_what_is_said_is_heard() -> None:
    assert asyncio.run(_listened(cut_off=False)) == ["cancel"]


def test_a_listener_that_was_cut_off_listens_again() -> None:
    assert asyncio.run(_listened(cut_off=True)) == ["cancel"]
