"""Functions that the tests offer to agents."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from subprocess import run  # noqa: F401  a test says that it is not offered

from pydantic_ai import RunContext

from apps.agents.errors import PermanentError, RetryableError


def lookup_order(number: int, verbose: bool = False) -> dict[str, object]:
    """Finds an order.

    Args:
        number: The order's number.
        verbose: Whether to tell everything.
    """
    return {"number": number, "status": "shipped", "verbose": verbose}


async def slow_answer(seconds: float) -> str:
    """Answers late."""
    await asyncio.sleep(seconds)
    return "at last"


def blocking(path: str) -> str:
    """Writes where it runs, then blocks its thread until the file is gone."""
    Path(path).touch()
    while Path(path).exists():
        time.sleep(0.01)
    return "gone"


def broken() -> str:
    """Always fails."""
    raise LookupError("no such customer")


def out_of_service() -> str:
    """Asks to be tried again."""
    raise RetryableError("maintenance", "back soon", retry_after=5)


def forbidden() -> str:
    """Can never work."""
    raise PermanentError("account_closed", "the account is closed")


def who_asks(ctx: RunContext[str]) -> str:
    """Says whose run this is."""
    return ctx.deps
