"""Writes of many runs share a transaction, and one that fails hurts no other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import OperationalError, connection

from apps.queue.database import DatabaseThread
from apps.queue.models import Worker
from apps.tenancy.models import App

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def acme() -> App:
    return App.objects.get(name="acme")


def insert(app: App, items: Sequence[str]) -> list[str]:
    """A group write; "bad" fails the whole group, "refused" only itself."""
    for item in items:
        if item == "bad":
            raise RuntimeError("bad item")
        if item != "refused":
            Worker.objects.create(host=item, pid=len(items), version="0", slots=1)
    return [LookupError(item) if item == "refused" else item for item in items]  # type: ignore[misc]


def run(work: Any) -> Any:
    async def main() -> Any:
        database = DatabaseThread()
        database.start()
        try:
            return await work(database)
        finally:
            database.stop()

    return asyncio.run(main())


def test_what_waits_together_is_written_in_one_transaction(acme: App) -> None:
    async def work(database: DatabaseThread) -> list[Any]:
        gate = threading.Event()
        blocked = asyncio.ensure_future(database.call(gate.wait))
        writes = [database.write(acme, insert, f"host-{number}") for number in range(5)]
        gate.set()
        await blocked
        return await asyncio.gather(*writes)

    assert run(work) == [f"host-{number}" for number in range(5)]
    assert set(Worker.objects.values_list("pid", flat=True)) == {5}  # each saw a group of five


def test_an_item_that_fails_does_not_take_the_others_with_it(acme: App) -> None:
    async def work(database: DatabaseThread) -> list[Any]:
        gate = threading.Event()
        blocked = asyncio.ensure_future(database.call(gate.wait))
        writes = [database.write(acme, insert, item) for item in ("one", "bad", "two", "refused")]
        gate.set()
        await blocked
        return await asyncio.gather(*writes, return_exceptions=True)

    one, bad, two, refused = run(work)
    assert (one, two) == ("one", "two")
    assert isinstance(bad, RuntimeError)
    assert isinstance(refused, LookupError)
    assert sorted(Worker.objects.values_list("host", flat=True)) == ["one", "two"]


def test_stopping_finishes_what_was_handed_in(acme: App) -> None:
    async def work(database: DatabaseThread) -> None:
        for number in range(300):
            database.write(acme, insert, f"host-{number}")

    run(work)
    assert Worker.objects.count() == 300


def test_a_connection_that_was_cut_is_opened_again(acme: App, on_postgresql: bool) -> None:
    if not on_postgresql:
        pytest.skip("SQLite has no connection that a server could cut")

    def cut() -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        except OperationalError as error:  # which the thread would wait out
            raise ValueError("it was cut") from error

    async def work(database: DatabaseThread) -> Any:
        with pytest.raises(ValueError, match="it was cut"):
            await asyncio.wait_for(database.call(cut), 20)
        return await database.write(acme, insert, "after")

    assert run(work) == "after"
