"""django-q2's part: a guarded pool of worker processes, most of them on a shift.

The cluster runs `--queue-workers` + 1 processes. The broker hands the first N of them one long message each, the
shift (`apps.queue.shift`), and hands it out again when the process that ran it is gone; django-q2's sentinel replaces
the process meanwhile. The remaining process runs ordinary django-q2 messages and schedules (maintenance), which
therefore never wait behind agents' work. This is the only module that knows django-q2.

Whoever is on shift stands in a shared table made before the cluster forks, one place per shift: 0 is vacant, -1 is
offered, -2 was drained by an operator and stays empty, anything else is the process on it. Any process may be killed
at any time: nothing that they share is locked (`apps.queue.shared`). SIGTERM to one of the shifts' processes ends that
shift, which drains, and it is replaced; to this one, it ends the cluster.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
import signal
import time
import uuid
from contextlib import suppress
from importlib import import_module
from types import FrameType
from typing import Any, NoReturn

import psutil
import structlog
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from django_q.brokers.orm import ORM
from django_q.cluster import Cluster as QCluster
from django_q.cluster import Sentinel as QSentinel
from django_q.models import Schedule
from django_q.signing import SignedPackage
from django_q.tasks import async_task
from django_q.worker import worker

from apps.queue import maintenance, shift
from apps.queue.shared import Crew, Flag, MessageQueue, NoLock
from hector_site.orphans import terminate_with_parent

log = structlog.get_logger(__name__)
_fork = multiprocessing.get_context("fork")
_stop = Flag()
_places = _fork.RawArray(ctypes.c_long, max(1, settings.HECTOR_QUEUE_WORKERS))
_running = _fork.RawArray(ctypes.c_long, len(_places))  # how much each shift runs
_offered_at: dict[int, float] = {}  # of the pusher process: when it last offered a place
_VACANT, _OFFERED, _CLOSED = 0, -1, -2
_OFFER_EXPIRES = 5.0  # seconds; a process that died between offer and start leaves the place offered
_DATABASE_AWAY = 1.0  # seconds until the next look; django-q2 itself would be ten seconds without a pusher


class HectorBroker(ORM):  # type: ignore[misc]  # django-q2 has no types, here and below
    """The ORM broker, which first of all keeps the shifts manned."""

    def dequeue(self) -> list[tuple[Any, str]] | None:
        if _stop.is_set():
            time.sleep(0.1)
            return None
        if vacant := _vacant_places():
            return [(None, _message(place)) for place in vacant]
        try:
            tasks: list[tuple[Any, str]] | None = super().dequeue()
        except DatabaseError as error:
            log.warning("broker_waits_for_database", error=str(error))
            connections.close_all()
            time.sleep(_DATABASE_AWAY)
            return None
        return tasks

    def acknowledge(self, task_id: Any) -> Any:
        return None if task_id is None else super().acknowledge(task_id)

    fail = acknowledge


def _vacant_places() -> list[int]:
    """The places to offer now; those of processes that are gone are vacant again."""
    now = time.monotonic()
    offer = []
    for place in range(len(_places)):
        pid = _places[place]
        lost = pid == _OFFERED and now - _offered_at.get(place, now - _OFFER_EXPIRES) >= _OFFER_EXPIRES
        if pid == _VACANT or lost or (pid > 0 and not _alive(pid)):
            _places[place] = _OFFERED
            _offered_at[place] = now
            offer.append(place)
    return offer


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _message(place: int) -> str:
    package: str = SignedPackage.dumps(
        {
            "id": uuid.uuid4().hex,
            "name": f"shift-{place}",
            "func": "apps.queue.cluster.take_place",
            "args": (place,),
            "kwargs": {},
            "timeout": -1,
            "save": False,
            "started": None,
        }
    )
    return package


def take_place(place: int) -> None:
    """What a worker process runs: a shift, until the cluster stops. A process whose shift ends before that ends too."""
    me, sentinel = os.getpid(), os.getppid()
    if _places[place] != _OFFERED:
        return  # offered twice, and somebody else was faster
    _places[place] = me
    told = Flag()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    code, drained = 1, False
    try:
        # If two processes took the place at the same instant, the one that does not stand in it leaves again.
        crew = Crew(_places, _running, place)
        drained = shift.run(lambda: _stop.is_set() or told.is_set() or _places[place] != me, crew=crew)
        code = 0
    except Exception:  # whatever it was: a new process starts from a known state
        log.exception("shift_broke")
    finally:
        if _places[place] == me:
            _places[place] = _CLOSED if drained else _VACANT
        if code or not _stop.is_set() or os.getppid() != sentinel:
            os._exit(code)


class Sentinel(QSentinel):  # type: ignore[misc]
    """django-q2's guard of the processes, which shares nothing with them that is locked."""

    def start(self) -> None:
        self.task_queue, self.result_queue, self.event_out = MessageQueue(), MessageQueue(), Flag()
        main = os.getppid()
        # A signal to the whole process group is the cluster's to answer; only without it is there nothing to guard.
        # What is forked from here has another parent, so there the same handler ends the process, as by default.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(1) if os.getppid() != main else None)
        super().start()

    def spawn_worker(self) -> None:
        timer = _fork.Value("f", -1, lock=NoLock())  # type: ignore[call-overload]  # any lock will do
        self.spawn_process(worker, self.task_queue, self.result_queue, timer, self.timeout)


class Cluster(QCluster):  # type: ignore[misc]
    def start(self) -> int:
        self.stop_event, self.start_event = Flag(), Flag()
        guarding = (self.stop_event, self.start_event, self.cluster_id, self.broker, self.timeout)
        self.sentinel = _fork.Process(target=Sentinel, args=guarding, name="sentinel")
        self.sentinel.start()
        return int(self.pid)

    def stop(self) -> bool:
        """Ends the shifts, which drain, then django-q2's processes."""
        _stop.set()
        return bool(super().stop())

    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        if _stop.is_set():
            _kill_everybody(signum)
        # However the drain hangs (on a database that is gone, say): nobody else may be there to end it.
        signal.signal(signal.SIGALRM, lambda *_: _kill_everybody(signal.SIGALRM))
        signal.setitimer(signal.ITIMER_REAL, settings.HECTOR_GRACE)
        self.stop()


def _kill_everybody(signum: int) -> NoReturn:
    """Kills the cluster's processes, then this one. Their group may be that of the shell which started us."""
    log.warning("cluster_killed", signal=signum)
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    os._exit(1)


def main() -> int:
    """Runs the cluster until SIGTERM or SIGINT; a second signal stops at once. The exit code."""
    ensure_schedules()
    for module in settings.HECTOR_QUEUE_HANDLERS.values():
        import_module(module)  # before the fork: the processes share the memory, and a replacement is ready at once
    connections.close_all()  # nothing open crosses the fork
    gc.collect()
    gc.freeze()
    os.register_at_fork(after_in_child=terminate_with_parent)  # the sentinel with us, its processes with the sentinel
    cluster = Cluster()
    cluster.start()
    while cluster.sentinel.is_alive() and not _stop.is_set():
        cluster.sentinel.join(1.0)
    cluster.sentinel.join()
    return 0 if _stop.is_set() else 1


def soon(function: str, *args: Any) -> None:
    """Lets a process that is not on shift call the function, on any host, once; from the transaction's commit on."""
    async_task(function, *args, save=False)


def ensure_schedules() -> None:
    """One row per maintenance job (the database refuses a second); django-q2's scheduler runs each on one host."""
    for job in maintenance.jobs.values():
        Schedule.objects.update_or_create(
            name=job.name, defaults={"func": job.function, "schedule_type": Schedule.MINUTES, "minutes": job.minutes}
        )
