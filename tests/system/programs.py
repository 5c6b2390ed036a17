"""What system tests run inside an installation (`Installation.python`), and the functions of their agents.

The functions append to the file that `HECTOR_TEST_LOG` names, so that a test can count what really ran.
"""

from __future__ import annotations

import asyncio
import os
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
