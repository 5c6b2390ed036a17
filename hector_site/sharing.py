"""Who runs work of a HECTOR_HOME: any number of processes together, or one alone.

Workers share it. A program that brings functions which no other process can import needs it for itself, or its tasks
would be claimed by those who cannot run them. A lock on a file says so; the kernel ends it with the process, however
that ends. It holds on one machine.
"""

from __future__ import annotations

import fcntl
import os
from typing import IO

from hector_site.env import BadSetting
from hector_site.home import home


class HomeTaken(BadSetting):
    """Another process runs work here that cannot be shared with this one."""


def work_here(*, alone: bool) -> IO[str]:
    """Takes the home until the file that is returned is closed, or this process ends. Raises HomeTaken."""
    file = (home() / "working.lock").open("a+", encoding="ascii")
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        who = file.read().strip()
        file.close()
        raise HomeTaken(_sentence(who, alone)) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _sentence(who: str, alone: bool) -> str:
    other = f"the process {who}" if who else "another process"
    if alone:
        return (
            f"{other} runs work of HECTOR_HOME ({home()}) and cannot import this program's functions: stop it, take "
            "another home, or put the functions into a package that every process can import and that "
            "HECTOR_FUNCTION_ALLOW names"
        )
    return (
        f"{other} runs work of HECTOR_HOME ({home()}) alone, with functions that only it has: stop it, or take another "
        "home"
    )
