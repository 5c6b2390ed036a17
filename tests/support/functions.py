"""Functions that the tests' agents and tools call."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Any

from apps.agents.errors import PermanentError, RetryableError
from apps.agents.session import session

calls: Counter[str] = Counter()
release = threading.Event()  # what `hold` waits for
stopped = threading.Event()  # what `spin` sets when it is stopped


def echo(value: dict[str, Any]) -> dict[str, Any]:
    calls["echo"] += 1
    return {"echo": value}


async def echo_async(value: dict[str, Any]) -> dict[str, Any]:
    return {"echo": value}


def boom(value: dict[str, Any]) -> None:
    calls["boom"] += 1
    raise RuntimeError(f"boom number {calls['boom']}")


def refuse(value: dict[str, Any]) -> None:
    calls["refuse"] += 1
    raise PermanentError("no_such_customer", "there is no such customer")


def busy(value: dict[str, Any]) -> None:
    calls["busy"] += 1
    raise RetryableError("busy", "come back later", retry_after=0.3)


def not_json(value: dict[str, Any]) -> object:
    return object()


def hold(value: dict[str, Any]) -> str:
    calls["hold"] += 1
    assert release.wait(30)
    return "released"


async def sleep_long(value: dict[str, Any]) -> None:
    calls["sleep_long"] += 1
    try:
        await asyncio.sleep(60)
    finally:
        stopped.set()


async def linger(value: dict[str, Any]) -> None:
    """Once it is stopped, it takes until the release to end."""
    calls["linger"] += 1
    try:
        await asyncio.sleep(60)
    finally:
        stopped.set()
        await asyncio.to_thread(release.wait, 30)


def spin(value: dict[str, Any]) -> None:
    """Python code that never ends by itself."""
    calls["spin"] += 1
    try:
        while True:
            time.monotonic()
    finally:
        stopped.set()


def look_up(order: str) -> str:
    """Looks an order up."""
    calls["look_up"] += 1
    return f"order {order} was shipped"


def charge(amount: int) -> str:
    """Charges a card."""
    calls["charge"] += 1
    return f"charged {amount}"


async def slow_charge(amount: int) -> str:
    """Charges a card, slowly, until it is released."""
    calls["slow_charge"] += 1
    await asyncio.sleep(0 if release.is_set() else 60)
    return f"charged {amount}"


def flaky_charge(amount: int) -> str:
    """Charges a card, at the second try."""
    calls["flaky_charge"] += 1
    if calls["flaky_charge"] == 1:
        raise RetryableError("busy", "the bank is busy")
    return f"charged {amount}"


def broken_look_up(order: str) -> str:
    """Looks an order up, and finds none."""
    calls["broken_look_up"] += 1
    raise LookupError(f"no order {order}")


def spin_tool() -> None:
    """Never ends by itself."""
    calls["spin_tool"] += 1
    try:
        while True:
            time.monotonic()
    finally:
        stopped.set()


def report(length: int) -> str:
    calls["report"] += 1
    return "long story " * length


def character(code: int) -> str:
    return f"<{chr(code)}>"


def not_a_number() -> dict[str, float]:
    return {"value": float("nan"), "most": float("inf")}


def nul(value: dict[str, Any]) -> str:
    """Text with characters that not every database can store."""
    return "a\x00b\ud800"


def charge_any(amount: int | str) -> str:
    """Charges a card whatever is asked for."""
    calls["charge_any"] += 1
    return f"charged {amount}"


def count_up(value: dict[str, Any]) -> int:
    """Counts in the session; waits until it is released if it is told to."""
    state = session()
    state["count"] = state.get("count", 0) + value.get("by", 1)
    calls["count_up"] += 1
    if value.get("hold"):
        assert release.wait(30)
    if value.get("fail"):
        raise RuntimeError("after it has counted")
    return int(state["count"])


def note(text: str) -> str:
    """Notes something in the session."""
    session()["notes"] = [*session().get("notes", ()), text]
    return "noted"


async def say_again(text: str) -> str:
    """Says it again, after others have had a turn."""
    await asyncio.sleep(0.01)
    return text
