"""Work in this process, without a cluster: one shift and the maintenance jobs, in two threads.

The shift is the one that a worker process runs, with its own event loop, so what the program does in its own never
keeps a lease from being renewed. A process that is killed leaves its leases; they are given back when the next shift
of this host starts. So it is with a program that ends without `stop`: its threads do not hold it up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import IO

import structlog
from django.db import connections
from django.utils.module_loading import import_string

from apps.queue import maintenance, shift

log = structlog.get_logger(__name__)
AGAIN = 1.0  # seconds after which a shift that broke begins anew


class Engine:
    """Runs work from `start` to `stop`, in threads; `home` is what says that it does, and is closed then."""

    def __init__(self, *, slots: int, home: IO[str]) -> None:
        self._slots = slots
        self._home = home
        self._told = threading.Event()
        self._threads = [
            threading.Thread(target=self._closing(run), name=f"hector {run.__name__.strip('_')}", daemon=True)
            for run in (self._shift, self._maintenance)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Lets work reach a checkpoint, hands back the rest, and waits until that is done."""
        self._told.set()
        for thread in self._threads:
            if thread.ident is not None:  # it was started
                thread.join()
        self._home.close()

    def _closing(self, run: Callable[[], None]) -> Callable[[], None]:
        def run_and_close() -> None:
            try:
                run()
            finally:
                connections.close_all()

        return run_and_close

    def _shift(self) -> None:
        while not self._told.is_set():
            try:
                if shift.run(self._told.is_set, slots=self._slots):
                    log.warning("shift_drained", reason="an operator drained it; the runtime only submits from now on")
                    return
            except Exception:  # whatever it was: a new shift starts from a known state
                log.exception("shift_broke")
                self._told.wait(AGAIN)

    def _maintenance(self) -> None:
        due = dict.fromkeys(maintenance.jobs, 0.0)
        while not self._told.is_set():
            for name, job in maintenance.jobs.items():
                if time.monotonic() >= due[name] and not self._told.is_set():
                    due[name] = time.monotonic() + job.minutes * 60
                    try:
                        import_string(job.function)()
                    except Exception:  # one job's fault is no other's; it runs again when it is due
                        log.exception("maintenance_failed", job=name)
            self._told.wait(1.0)
