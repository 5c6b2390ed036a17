"""A shift's database work: one thread, one connection, one transaction for all that waits together.

While a transaction commits, further writes pile up; the next transaction takes all of them that belong to the same
App. So a lone write is committed at once and a busy shift pays one commit for many, without a timer. If a group
fails, each of its items is tried in a transaction of its own, so that one item's fault touches no other.

A lost connection, a full disk and the like are waited out and the work repeated, for as long as `patience` (seconds).
Whether a commit that got no answer took place is unknown, so a write must be safe to repeat: fenced updates are, and
what only appends has to know what it has written already (`apps.tasks.journal`).
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connection, transaction

from apps.tenancy.context import in_app
from apps.tenancy.models import App

log = structlog.get_logger(__name__)
T = TypeVar("T")
R = TypeVar("R")
Outcome = Any  # what an item's write returns; an exception instance is raised to whoever waits for the item
GroupWrite = Callable[[App, Sequence[Any]], Sequence[Outcome]]

MAX_GROUP = 256
AWAY = (OperationalError, InterfaceError)  # the database cannot do it now, whatever it is
PATIENCE = 60.0  # seconds; the lease if that is more
LONGEST_PAUSE = 2.0  # seconds between two tries; an eighth of the lease if that is less
LONGEST_IDLE = 10.0  # seconds until PostgreSQL frees what a frozen process has locked; half the lease if that is less
LAST_PATIENCE = 5.0  # seconds, once the thread has been told to stop


@dataclass
class _Job:
    run: Callable[[], Any] | None  # a call of its own …
    group: tuple[App, GroupWrite] | None  # … or an item of a group write
    item: Any
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    key: Hashable = field(default=None)


class DatabaseThread:
    """Runs database work for an event loop. `start` and `stop` it; both methods below may then be awaited."""

    def __init__(self, *, lease: float = 300.0) -> None:
        """`lease`: the seconds after which a worker that does not beat is given up."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._patience = max(PATIENCE, lease)
        self._longest_pause = min(LONGEST_PAUSE, lease / 8)
        self._longest_idle = min(LONGEST_IDLE, lease / 2)
        self._stopping = False
        self._prepared: Any = None  # the raw connection that has been set up
        self._thread = threading.Thread(target=self._work, name="database", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finishes what was handed in and closes the connection."""
        self._stopping = True
        self._jobs.put(None)
        self._thread.join()

    async def call(self, function: Callable[..., R], *args: Any) -> R:
        """Runs the function by itself; it opens the transactions that it needs."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[R] = loop.create_future()
        self._jobs.put(_Job(lambda: function(*args), None, None, loop, future))
        return await future

    def write(self, app: App, function: GroupWrite, item: Any) -> asyncio.Future[Any]:
        """Hands in one item of a group write; the future is done once its transaction has committed.

        The function gets the items that waited together, in order, inside the App and a transaction, and returns one
        outcome each. Items handed in by one task are written in that order.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put(_Job(None, (app, function), item, loop, future, (app.pk, function)))
        return future

    def _work(self) -> None:
        try:
            while (job := self._jobs.get()) is not None:
                batch = [job]
                stop = False
                while len(batch) < MAX_GROUP:
                    try:
                        following = self._jobs.get_nowait()
                    except queue.Empty:
                        break
                    if following is None:
                        stop = True
                        break
                    batch.append(following)
                for group in _grouped(batch):
                    self._perform(group)
                if stop:
                    break
        finally:
            connection.close()

    def _perform(self, jobs: list[_Job]) -> None:
        first = jobs[0]
        try:
            if first.group is None:
                assert first.run is not None
                outcomes = [self._patiently(first.run)]
            else:
                app, function = first.group
                items = [job.item for job in jobs]
                outcomes = list(self._patiently(lambda: _in_transaction(app, function, items)))
        except AWAY as error:  # it would be the same for each of them
            outcomes = [error] * len(jobs)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to whoever waits for this work
            if len(jobs) > 1:
                for job in jobs:
                    self._perform([job])
                return
            outcomes = [error]
        _deliver(jobs, outcomes)

    def _patiently(self, work: Callable[[], R]) -> R:
        begun = time.monotonic()
        pause = 0.05
        while True:
            try:
                self._prepare()
                return work()
            except AWAY as error:
                patience = LAST_PATIENCE if self._stopping else self._patience
                if time.monotonic() + pause > begun + patience:
                    raise
                log.warning("database_retry", error=str(error), pause=pause)
                connection.close()
                time.sleep(pause)
                pause = min(self._longest_pause, pause * 2)

    def _prepare(self) -> None:
        """A process that freezes in a transaction must not hold its locks for longer than its lease."""
        if connection.vendor != "postgresql" or (connection.connection and connection.connection is self._prepared):
            return
        milliseconds = int(self._longest_idle * 1000)
        with connection.cursor() as cursor:
            cursor.execute(f"SET idle_in_transaction_session_timeout = {milliseconds}")
        self._prepared = connection.connection


def _in_transaction(app: App, function: GroupWrite, items: list[Any]) -> Sequence[Outcome]:
    with in_app(app), transaction.atomic():
        return function(app, items)


def _grouped(batch: list[_Job]) -> list[list[_Job]]:
    """The batch in order, group writes of one App and function together (at the place of their first item)."""
    groups: list[list[_Job]] = []
    open_groups: dict[Hashable, list[_Job]] = {}
    for job in batch:
        if job.group is None:
            groups.append([job])
            open_groups.clear()  # what was handed in after a call stays after it
        elif job.key in open_groups:
            open_groups[job.key].append(job)
        else:
            open_groups[job.key] = [job]
            groups.append(open_groups[job.key])
    return groups


def _deliver(jobs: list[_Job], outcomes: Sequence[Outcome]) -> None:
    """Wakes the waiters, with one call into the loop for all of them."""

    def settle() -> None:
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.future.done():
                continue
            if isinstance(outcome, BaseException):
                job.future.set_exception(outcome)
            else:
                job.future.set_result(outcome)

    try:
        jobs[0].loop.call_soon_threadsafe(settle)
    except RuntimeError:
        log.warning("database_result_unwanted", reason="the event loop is closed")
