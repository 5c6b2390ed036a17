"""What the measured agents call."""

from __future__ import annotations

import asyncio
import time
from typing import Any


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
