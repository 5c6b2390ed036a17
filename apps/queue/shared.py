"""What the processes of a cluster share, made so that any of them may be killed at any instruction.

multiprocessing's queues, events and values each hold a lock while they are used (its queue even while it waits for a
message). A process that is killed then takes the lock along, and all others wait for it for ever. Nothing here holds
a lock: a flag is one byte, and a message is read from a socket whole or not at all.
"""

from __future__ import annotations

import ctypes
import pickle
import select
import socket
import sys
import time
from multiprocessing.sharedctypes import RawValue
from typing import Any

_KIND = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
_MAX_MESSAGE = 1 << 18  # bytes; more than the kernel takes in one piece by default
_LOOK = 0.02


class Flag:
    """Stands in for a `multiprocessing.Event`."""

    def __init__(self) -> None:
        self._value = RawValue(ctypes.c_bool, False)

    def set(self) -> None:
        self._value.value = True

    def is_set(self) -> bool:
        return bool(self._value.value)

    def wait(self, timeout: float) -> bool:
        """Whether it is set, or was within so many seconds."""
        deadline = time.monotonic() + timeout
        while not self.is_set() and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(_LOOK, left))
        return self.is_set()


Row = list[int] | ctypes.Array[ctypes.c_long]


class Crew:
    """The shifts of one host: which of them is to take new work, as each one says of itself how much it has.

    All of them are woken at once. Were all to claim at once, they would take one another's time.
    """

    def __init__(self, pids: Row, running: Row, place: int) -> None:
        """`pids`: of each place the process on it, or none (not above 0); `running`: how much each one runs."""
        self._pids, self._running, self._place = pids, running, place

    def say(self, running: int) -> None:
        self._running[self._place] = running

    def turn(self) -> int:
        """How many go first: those that run less, and of those that run as much the ones at an earlier place."""
        mine = (self._running[self._place], self._place)
        return sum(
            pid > 0 and (running, place) < mine
            for place, (pid, running) in enumerate(zip(self._pids, self._running, strict=True))
        )


class MessageQueue:
    """Stands in for a `multiprocessing.Queue` between processes that were forked after it was made."""

    def __init__(self) -> None:
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, _KIND)

    def put(self, message: Any) -> None:
        """Waits while the kernel's buffer is full. Raises OSError for a message that is too long."""
        self._writer.send(pickle.dumps(message))

    def get(self) -> Any:
        return pickle.loads(self._reader.recv(_MAX_MESSAGE))  # noqa: S301 - from a process of our own

    def empty(self) -> bool:
        return not select.select([self._reader], [], [], 0)[0]

    def qsize(self) -> int:
        """1 for any number: a socket does not say."""
        return int(not self.empty())

    def close(self) -> None:
        """Nothing to do: every message has left the process."""

    join_thread = close


class NoLock:
    """Stands in for a lock where one writer and aligned memory make it needless."""

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        return True

    def release(self) -> None: ...

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None: ...
