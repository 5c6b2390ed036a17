"""What the measured agents call."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from structlog.contextvars import get_contextvars

STARTS = "starts"  # the file that `start_twice` appends to
RAN = "charged"  # the file in HECTOR_HOME that `charge` appends to


def echo(value: Any) -> Any:
    return value


def clock(value: Any) -> dict[str, int]:
    """When the run began: nanoseconds of this host's clock."""
    return {"ns": time.time_ns()}


async def wait(value: Any) -> dict[str, int]:
    """One second of input and output."""
    begun = time.time_ns()
    await asyncio.sleep(1.0)
    return {"begun": begun, "ended": time.time_ns()}


async def rest(value: dict[str, Any]) -> str:
    """Ends at once if it is the last one, and else only when it is stopped."""
    if not value["last"]:
        await asyncio.sleep(600)
    return "done"


async def start_twice(value: Any) -> None:
    """Notes when and where it begins, and ends at once the second time."""
    with open(STARTS, "a") as file:  # noqa: ASYNC230, PTH123 - the current directory is HECTOR_HOME; a moment
        file.write(f"{time.time_ns()} {os.getpid()}\n")
    if len(Path(STARTS).read_text().splitlines()) % 2:  # noqa: ASYNC240
        await asyncio.sleep(60)


async def note_time() -> int:
    """Says when it ran: nanoseconds of this host's clock."""
    return time.time_ns()


async def look_up() -> str:
    """Looks an order up; declared idempotent."""
    await asyncio.sleep(0.05)
    return "shipped"


async def charge() -> str:
    """Charges a card; must not run twice for one task."""
    with Path(os.environ["HECTOR_HOME"], RAN).open("a") as file:  # noqa: ASYNC230 - a moment
        file.write(f"{get_contextvars()['task']}\n")
    await asyncio.sleep(0.05)
    return "charged"
