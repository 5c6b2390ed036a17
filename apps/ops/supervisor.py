"""Keeps child processes running, and stops them together.

A child that ends is started again, after a pause that doubles with each failure and is forgotten once it has run for
a minute; what is left of its process group is killed first. Each child leads a session of its own, so a Ctrl-C in the
terminal reaches the supervisor alone, which decides. On SIGTERM, SIGINT or SIGHUP the children are stopped, those
marked `last` after the others; whoever outlives the grace time is killed with its group. A second signal kills at once.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from hector_site.orphans import PARENT

log = structlog.get_logger(__name__)
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds before a restart
STABLE = 60.0  # seconds after which earlier failures are forgotten
TICK = 1.0
ECHO = 0.1  # seconds within which a second signal is the first one's echo


@dataclass
class Child:
    """One process to keep running. `on_drain`, if set, tells it that the others are stopping and it will be next."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    pass_fds: Sequence[int] = ()
    last: bool = False
    on_drain: signal.Signals | None = None

    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    start_at: float = 0.0  # when not running: the next start

    def start(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            env={**os.environ, **self.environment, PARENT: str(os.getpid())},
            pass_fds=self.pass_fds,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.started_at = time.monotonic()
        log.info("child_started", child=self.name, pid=self.process.pid)

    def send(self, number: signal.Signals) -> None:
        if self.process is not None:  # not reaped yet, so its number is still its own
            os.kill(self.process.pid, number)

    def kill(self) -> None:
        """Kills the child's whole process group."""
        if self.process is not None:
            _kill_group(self.process.pid)

    def ended(self, code: int) -> None:
        """Records that the process has been reaped, and when the next one is due."""
        assert self.process is not None
        _kill_group(self.process.pid)
        self.process.returncode = code
        self.process = None
        log.info("child_ended", child=self.name, exit_code=code)
        now = time.monotonic()
        self.failures = 1 if now - self.started_at >= STABLE else self.failures + 1
        self.start_at = now + pause(self.failures)


def pause(failures: int) -> float:
    """Seconds to wait before the restart after that many failures in a row."""
    return float(min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failures - 1)))


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left in it
        os.killpg(pid, signal.SIGKILL)


class Supervisor:
    """Runs the children until it is told to stop; `every_second` is called meanwhile."""

    def __init__(
        self, children: Sequence[Child], *, grace: float, every_second: Callable[[], None] = lambda: None
    ) -> None:
        self.children = children
        self.grace = grace
        self.every_second = every_second
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._stop_began = 0.0

    def run(self) -> int:
        """The exit code: 0 if every child stopped by itself within the grace time, else 1."""
        for number in (*STOPS, signal.SIGCHLD):
            signal.signal(number, lambda received, _frame: self._signals.put(received))
        for child in self.children:
            child.start()
        while (received := self._wait(self._until_next_start())) is None:
            self._restart_what_died()
            self.every_second()
        log.info("stopping", signal=signal.Signals(received).name, grace_seconds=self.grace)
        return self._stop()

    def _wait(self, seconds: float) -> int | None:
        """Reaps what ended. Returns the signal to stop, if one came within that time."""
        received: int | None = None
        with contextlib.suppress(queue.Empty):
            received = self._signals.get(timeout=seconds)
        self._reap()
        return received if received in STOPS else None

    def _reap(self) -> None:
        """Collects every ended process: as process 1 of a container, also those that nobody else waits for."""
        with contextlib.suppress(ChildProcessError):  # no child at all
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                for child in self.children:
                    if child.process is not None and child.process.pid == pid:
                        child.ended(os.waitstatus_to_exitcode(status))

    def _restart_what_died(self) -> None:
        for child in self.children:
            if child.process is None and time.monotonic() >= child.start_at:
                log.warning("child_restarted", child=child.name, failures=child.failures)
                child.start()

    def _until_next_start(self) -> float:
        due = [child.start_at - time.monotonic() for child in self.children if child.process is None]
        return max(0.0, min([TICK, *due]))

    def _stop(self) -> int:
        self._stop_began = time.monotonic()
        deadline = self._stop_began + self.grace
        for child in self.children:
            if child.last and child.on_drain is not None:
                child.send(child.on_drain)
        clean = True
        for group in ([c for c in self.children if not c.last], [c for c in self.children if c.last]):
            for child in group:
                child.send(signal.SIGTERM)
            clean = self._await_end(group, deadline) and clean
        for number in STOPS:
            signal.signal(number, signal.SIG_IGN)  # nothing is left to hurry
        log.info("stopped", clean=clean)
        return 0 if clean else 1

    def _await_end(self, group: Sequence[Child], deadline: float) -> bool:
        """Waits for these children. After the deadline, or at a second signal, kills all that are left."""
        while any(child.process for child in group):
            left = deadline - time.monotonic()
            if left > 0 and not self._hurried(self._wait(min(TICK, left))):
                continue
            log.warning("killed", children=[child.name for child in self.children if child.process])
            for child in self.children:
                child.kill()
            while any(child.process for child in self.children):
                self._wait(TICK)
            return False
        return True

    def _hurried(self, received: int | None) -> bool:
        """Whether that was a second signal; `timeout` and others send the first one twice, to process and group."""
        return received is not None and time.monotonic() - self._stop_began > ECHO
