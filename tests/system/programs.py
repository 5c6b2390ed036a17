"""What system tests run inside an installation (`Installation.python`), and the functions of their agents.

The functions append to the file that `HECTOR_TEST_LOG` names, so that a test can count what really ran.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from pathlib import Path
from typing import Any


def log(line: str) -> int:
    """Appends one line, at once also between processes; how often it stands there."""
    path = Path(os.environ["HECTOR_TEST_LOG"])
    with path.open("a") as file:
        file.write(f"{line} {os.getpid()}\n")
    return sum(entry.split()[0] == line for entry in path.read_text().splitlines())


def note(value: dict[str, Any]) -> int:
    log(value["text"])
    return os.getpid()


def die(value: dict[str, Any]) -> None:
    """Kills its own worker process."""
    log("die")
    os.kill(os.getpid(), 9)


async def first(text: str) -> str:
    """A quick tool."""
    log("first")
    return "first done"


async def second(text: str) -> str:
    """A tool that takes its time, the first time that it runs."""
    if log("second") == 1:
        await asyncio.sleep(120)
    return "second done"


async def slow(value: dict[str, Any]) -> str:
    log("slow")
    await asyncio.sleep(120)
    return "slow"


async def linger(value: dict[str, Any]) -> None:
    """Once it is stopped, it takes until there is a file `release` beside the log to end."""
    log("linger")
    try:
        await asyncio.sleep(120)
    finally:
        await asyncio.to_thread(_wait_for_release)


def _wait_for_release() -> None:
    release = Path(os.environ["HECTOR_TEST_LOG"]).with_name("release")
    while not release.exists():
        time.sleep(0.01)


async def paced(value: dict[str, Any]) -> str:
    """Takes a moment, as work does."""
    await asyncio.sleep(0.2)
    log(value["text"])
    return "done"


async def step() -> str:
    """One of several steps; must not run twice."""
    await asyncio.sleep(0.1)
    log("step")
    return "done"


async def overrun(value: dict[str, Any]) -> None:
    """Never ends in time."""
    log("overrun")
    await asyncio.sleep(120)


def boom(value: dict[str, Any]) -> None:
    log("boom")
    raise RuntimeError("boom")


def devour(value: dict[str, Any]) -> None:
    """Takes all the memory that its process may have."""
    log("devour")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), limits[1]))
    try:
        bytearray(1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
