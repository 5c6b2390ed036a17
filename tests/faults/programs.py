"""The tools of the matrix's agent. Each appends to the file that `HECTOR_TEST_LOG` names: runs can be counted."""

from __future__ import annotations

import asyncio
from typing import Any

from apps.agents.session import session
from tests.system.programs import log


async def look_up(order: str) -> str:
    """Looks an order up; declared idempotent."""
    log("look_up")
    return f"order {order} was shipped"


async def refund(amount: int) -> str:
    """Pays back; needs approval, and must not run twice."""
    log(f"refund-{amount}")
    return f"refunded {amount}"


async def rest(value: dict[str, Any]) -> None:
    """An agent that ends only when it is stopped."""
    log("rest")
    await asyncio.sleep(600)


async def pass_by(value: dict[str, Any]) -> str:
    """An agent that ends at once."""
    return "done"


async def charge(amount: int) -> str:
    """Charges a card; must not run twice."""
    log("charge")
    return f"charged {amount}"


async def keep(text: str) -> str:
    """Adds to a list in the session; declared idempotent, which it is."""
    session()["kept"] = [*session().get("kept", ()), text]
    return "kept"
