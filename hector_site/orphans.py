"""A process that Hector started ends when the one that started it is gone, however it went.

On Linux the kernel sends SIGTERM, so an orphan drains as on any other stop. Elsewhere nothing does, and a
`kill -9` of the parent leaves its children running.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PARENT = "HECTOR_SUPERVISOR_PID"  # in the environment of the supervisor's children, and of nobody else
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_supervised = False


def supervised() -> bool:
    """Whether `hector serve` started this process (and has prepared the database already)."""
    return _supervised


def end_with_parent() -> None:
    """Ties this process to the supervisor that started it, if one did."""
    global _supervised
    parent = os.environ.pop(PARENT, "")
    if not parent:
        return
    _supervised = True
    terminate_with_parent()
    if os.getppid() != int(parent):
        sys.exit(1)  # it was gone before the kernel knew


def terminate_with_parent() -> None:
    """From now on this process gets SIGTERM when the one that forked it ends (on Linux)."""
    if sys.platform == "linux":
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
