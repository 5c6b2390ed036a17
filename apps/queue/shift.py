"""A shift: the loop of one worker process. It claims what fits its free slots, runs it, and beats.

Promises: a free slot and a ready entry meet within milliseconds (PostgreSQL) or one look (SQLite); a shift that was
given up for dead stops all its work at once; a drain lets work reach a checkpoint and hands back the rest.
The work itself, its writes and its settlement belong to the handler of the entry's kind.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import os
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import structlog
from django.conf import settings

from apps.queue import leases, limits, sql, workers
from apps.queue.database import AWAY, DatabaseThread
from apps.queue.errors import WorkerFenced
from apps.queue.faults import Point, reach
from apps.queue.handler import Job, handler
from apps.queue.leases import Lease, Outlook
from apps.queue.models import Worker
from apps.queue.shared import Crew
from apps.queue.wakeup import POLL, signals
from apps.tenancy import paths
from apps.tenancy.connection import connection
from apps.tenancy.context import in_app
from apps.tenancy.models import App

log = structlog.get_logger(__name__)
HEARTBEAT = 5.0  # seconds, or a quarter of the stale threshold if that is less
PAUSED_LOOK = 0.25  # seconds between looks whether a paused queue goes on
TIDY = 60.0  # seconds between looks for files of deleted Apps
LOOK = 0.25  # seconds between looks for due entries while there is other work
STAGGER = 0.005  # seconds that a shift leaves each colleague who is to go first; a claim takes about as long
CANCEL_MARGIN = 5.0  # seconds before the end of the grace time at which work that did not stop by itself is cancelled
STEADY = 3  # beats in time after which a worker may judge others: as many chances to beat have they had
BEGIN_AGAIN = 30.0  # seconds after an entry could not be begun at all
Started = tuple[App, Lease, Any]


def run(should_stop: Callable[[], bool], *, slots: int | None = None, crew: Crew | None = None) -> bool:
    """Runs a shift in this process until it should stop, or until the process that started it is gone.

    `crew`: the shifts of this host, if there are others.

    True: an operator has drained it, and nobody shall take its place.
    """
    parent = os.getppid()
    shift = Shift(slots or settings.HECTOR_SLOTS, lambda: should_stop() or os.getppid() != parent, crew)
    asyncio.run(shift.work())
    return shift.drained


class Shift:
    def __init__(self, slots: int, should_stop: Callable[[], bool], crew: Crew | None = None) -> None:
        self._slots = slots
        self._should_stop = should_stop
        self._crew = crew or Crew([os.getpid()], [0], 0)
        self._database = DatabaseThread(lease=settings.HECTOR_QUEUE_STALE_THRESHOLD)
        self._jobs: dict[int, tuple[Job, asyncio.Task[None]]] = {}  # by entry id
        self._unbegun: list[Lease] = []  # claimed, and not known to have begun; the database thread's
        self._woken = asyncio.Event()
        self._called = False  # by news of work, which all shifts got
        self._loose_ends: set[asyncio.Future[Any]] = set()
        self._look_for_cancels = False
        self._apps: dict[int, App] = {}
        self._next_beat = 0.0
        self._next_tidying = 0.0
        self._paused = False
        self._limited = True  # the installation, for all that is known
        self._next_look = 0.0  # for scheduled entries that are due, however busy the shift is
        self._beats_in_time = 0
        self.drained = False  # by an operator

    async def work(self) -> None:
        self._database.start()
        try:
            while not self._should_stop() and not self.drained:
                await self._one_registration()
        finally:
            self._database.stop()

    async def _one_registration(self) -> None:
        """Works as one registered worker, until told to stop or fenced off."""
        await self._database.call(workers.sign_off_dead_processes)
        worker = await self._database.call(_register, self._slots)
        self._unbegun = []
        structlog.contextvars.bind_contextvars(worker=str(worker))
        log.info("shift_started", slots=self._slots)
        stopper = asyncio.create_task(self._watch_for_stop())
        try:
            async with signals(self._wake):
                await self._loop(worker)
                await self._drain(worker)
            await self._database.call(workers.sign_off, worker.pk)
            log.info("shift_ended")
        except WorkerFenced:
            log.error("shift_fenced", reason="no heartbeat within the stale threshold; others took over its work")
            await self._abandon()
        finally:
            stopper.cancel()

    def _wake(self, payload: str) -> None:
        if payload == "cancel":
            self._look_for_cancels = True
        elif payload == "drain":
            self._next_beat = 0.0
        else:
            self._called = True
        self._woken.set()

    async def _watch_for_stop(self) -> None:
        while not self._should_stop():  # noqa: ASYNC110 - set by another process: there is nothing to wait on
            await asyncio.sleep(0.05)
        self._woken.set()

    async def _loop(self, worker: Worker) -> None:
        self._next_beat, self._beats_in_time = 0.0, 0
        while not self._should_stop():
            self._woken.clear()
            await self._beat_if_due(worker)
            if self.drained:
                break
            await self._cancel_if_asked(worker)
            await self._tidy_if_due()
            called, self._called = self._called, False
            turn = self._crew.turn() if called else 0
            if turn:
                await asyncio.sleep(turn * STAGGER)
            # Whoever is called first claims at once; and looks for what is due when the work has begun.
            due_in = await self._take(worker, turn > 0 or (not called and time.monotonic() >= self._next_look))
            if self._paused:  # whatever is submitted meanwhile: there is nothing to claim
                await asyncio.sleep(PAUSED_LOOK)
            wait = min(POLL, self._next_beat - time.monotonic(), due_in if len(self._jobs) < self._slots else POLL)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), max(0.001, wait))

    async def _take(self, worker: Worker, look_first: bool) -> float:
        """Starts what fits; the seconds until there may be more."""
        free = self._slots - len(self._jobs)
        if not free and time.monotonic() < self._next_look:
            return POLL
        started, due_in = await self._database.call(self._claim, worker, free, look_first)
        for app, lease, payload in started:
            self._start(Job(app, lease, payload, self._database, str(worker)))
        if due_in is None and time.monotonic() >= self._next_look:  # beside the work that has just begun
            due_in = (await self._database.call(self._look)).due_in
        return LOOK if due_in is None else due_in

    def _claim(self, worker: Worker, free: int, look_first: bool) -> tuple[list[Started], float | None]:
        """(Database thread.) Claims what fits and begins it; and the seconds until there is more to claim, if known."""
        # SQLite's claim takes the one write lock: it is worth a look whether there is anything to claim.
        outlook = self._look() if look_first or not sql.is_postgresql() else None
        with connection.shared_tables_only():
            if not self._unbegun and free and (outlook is None or outlook.ready):
                self._unbegun = leases.claim(worker.pk, free, limited=self._limited)
                if self._unbegun:
                    reach(Point.CLAIMED)
        took_all = 0 < free <= len(self._unbegun)
        started: list[Started] = []
        # If the database goes away in here, all of this is repeated, with the same leases.
        claimed = sorted(self._unbegun, key=lambda lease: (lease.app_id, lease.kind))
        for (app_id, kind), group in itertools.groupby(claimed, key=lambda lease: (lease.app_id, lease.kind)):
            app = self._apps.get(app_id) or App.objects.filter(pk=app_id).first()
            if app is None:
                continue  # it was deleted just now, and its entries with it
            self._apps[app_id] = app
            wanted = list(group)
            begun = _begin(kind, app, wanted, str(worker))
            started += [(app, lease, payload) for lease, payload in begun]
            if len(begun) < len(wanted) and any(lease.is_limited for lease in wanted):
                self._release(app)  # what was settled there has ended without a job
        self._unbegun = []
        if started:
            self._paused = False
            reach(Point.BEGUN)
            return started, 0.0 if took_all else None
        # Nothing is about to run, so there is time to look when something will be.
        outlook = outlook or self._look()
        self._paused = outlook.paused
        return started, 0.0 if took_all else POLL if outlook.due_in is None else outlook.due_in

    def _look(self) -> Outlook:
        """(Database thread.) Sees what there is to do, having made ready what is due."""
        self._next_look = time.monotonic() + LOOK
        with connection.shared_tables_only():
            outlook = leases.outlook()
            if outlook.due_in == 0.0:
                outlook = replace(outlook, ready=leases.promote_due() > 0 or outlook.ready)
        self._limited = outlook.limited
        return outlook

    def _start(self, job: Job) -> None:
        task = asyncio.create_task(handler(job.lease.kind).run(job), name=f"{job.lease.kind} {job.lease.key}")
        self._jobs[job.lease.id] = (job, task)
        self._crew.say(len(self._jobs))
        task.add_done_callback(lambda done: self._ended(job, done))

    def _ended(self, job: Job, task: asyncio.Task[None]) -> None:
        was_full = len(self._jobs) >= self._slots
        if job.lease.id in self._jobs and self._jobs[job.lease.id][0] is job:  # it may have been claimed again already
            del self._jobs[job.lease.id]
            self._crew.say(len(self._jobs))
        if was_full:  # else nothing was left unclaimed
            self._woken.set()
        if job.lease.is_limited:
            self._tie_up(self._database.call(self._release, job.app))
        if task.cancelled() or task.exception() is not None:
            self._handler_broke(job, None if task.cancelled() else task.exception())

    def _handler_broke(self, job: Job, error: BaseException | None) -> None:
        """A handler ended without settling (cancelled before its first step, or a bug): the work is free again."""
        if error is not None:
            log.error("handler_failed", entry=job.lease.id, app=job.app.name, exc_info=error)
        if job.stop != "lost":
            self._tie_up(self._database.call(leases.give_back, [job.lease]))

    def _release(self, app: App) -> None:
        """(Database thread.) One of the App's tasks has ended: another one may start, on any host."""
        with connection.shared_tables_only():
            limits.release(app.pk)

    def _tie_up(self, end: Coroutine[Any, Any, Any]) -> None:
        """Does it beside the loop, and before the shift is over."""
        self._loose_ends.add(task := asyncio.ensure_future(end))
        task.add_done_callback(self._loose_ends.discard)

    async def _beat_if_due(self, worker: Worker) -> None:
        if time.monotonic() < self._next_beat:
            return
        steady = self._beats_in_time >= STEADY
        self.drained = await self._database.call(self._beat, worker, set(self._jobs), steady)
        interval = min(HEARTBEAT, settings.HECTOR_QUEUE_STALE_THRESHOLD / 4)
        now = time.monotonic()
        self._beats_in_time = self._beats_in_time + 1 if now < self._next_beat + interval else 0
        self._next_beat = now + interval
        self._look_for_cancels = True
        self._apps.clear()  # weights and names may have changed

    def _beat(self, worker: Worker, held: set[int], steady: bool) -> bool:
        """(Database thread.) Says that this worker lives, and looks for leases that nobody works on.

        Whether an operator drains the worker.
        """
        draining = workers.beat(worker.pk)
        limits.release_all()
        mislaid = workers.give_back_mislaid(worker.pk, held | {lease.id for lease in self._unbegun})
        stale = workers.sign_off_stale() if steady else 0
        if mislaid or stale:
            log.warning("leases_released", mislaid=mislaid, stale=stale)
        return draining

    async def _cancel_if_asked(self, worker: Worker) -> None:
        if not self._look_for_cancels or not self._jobs:
            return
        self._look_for_cancels = False
        for entry_id in await self._database.call(leases.cancel_requests, worker.pk):
            self._stop(entry_id, "cancel")

    async def _tidy_if_due(self) -> None:
        """Removes what this host has of deleted Apps, beside the loop: that may take a while."""
        if time.monotonic() < self._next_tidying:
            return
        self._next_tidying = time.monotonic() + TIDY
        if left := await self._database.call(paths.remains):
            self._tie_up(asyncio.to_thread(paths.remove, left))

    def _stop(self, entry_id: int, reason: Any) -> None:
        if entry_id in self._jobs:
            job, task = self._jobs[entry_id]
            if job.stop != reason:
                job.stop = reason
                task.cancel(reason)

    async def _drain(self, worker: Worker) -> None:
        """Asks the work to stop at a checkpoint; near the end of the grace time, cancels what is left.

        An operator's drain has no end but that of the work, until the process is told to stop as well.
        """
        log.info("shift_draining", running=len(self._jobs))
        for job, _ in self._jobs.values():
            job.stop = job.stop or "drain"
        deadline = math.inf
        while self._jobs and time.monotonic() < deadline:
            if deadline == math.inf and self._should_stop():
                deadline = time.monotonic() + max(0.0, settings.HECTOR_GRACE - CANCEL_MARGIN)
            await self._beat_if_due(worker)
            await self._cancel_if_asked(worker)
            if tasks := [task for _, task in self._jobs.values()]:  # the last one may have ended just now
                await asyncio.wait(tasks, timeout=0.5)
        await self._cancel_all()

    async def _abandon(self) -> None:
        """Stops all work of a worker that owns nothing any more."""
        for job, _ in self._jobs.values():
            job.stop = "lost"
        await self._cancel_all()

    async def _cancel_all(self) -> None:
        tasks = [task for _, task in self._jobs.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_MARGIN)
        if self._loose_ends:
            await asyncio.wait(self._loose_ends)


def _register(slots: int) -> Worker:
    return workers.register(slots=slots)


def _begin(kind: str, app: App, group: list[Lease], worker: str) -> list[tuple[Lease, Any]]:
    """Begins the leases together; where that fails, one by one, and puts off the one that cannot be begun."""
    try:
        with in_app(app):
            return list(handler(kind).begin(app, group, worker))
    except AWAY:
        raise
    except Exception:  # the fault of one entry must not keep the others from running
        if len(group) > 1:
            return [started for lease in group for started in _begin(kind, app, [lease], worker)]
        log.exception("begin_failed", entry=group[0].id, app=app.name, kind=kind)
        leases.reschedule(group[0], BEGIN_AGAIN)
        return []
