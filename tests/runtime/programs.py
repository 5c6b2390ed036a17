"""Functions that programs have: as a module that every process can import, and as a program of its own."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import hector

SLOW = "slow"


@hector.agent(description="Says it again")
def repeat(value: dict[str, Any]) -> dict[str, Any]:
    return {"again": value["text"]}


@hector.agent
async def repeat_async(value: dict[str, Any]) -> dict[str, Any]:
    return {"again": value["text"]}


@hector.tool(require_approval=True)
def pay_back(amount: int) -> str:
    """Pays a customer back."""
    return f"paid {amount}"


@hector.agent(name=SLOW, retry={"initial_delay": "10ms", "max_delay": "10ms"})
def run_slowly(value: dict[str, Any]) -> dict[str, Any]:
    """Says who runs it, and does not end before somebody lets it."""
    with Path(value["ran"]).open("a") as ran:
        ran.write(f"{os.getpid()}\n")
    while not Path(value["may_end"]).exists():
        time.sleep(0.01)
    return {"pid": os.getpid()}


async def main(directory: Path, accepted: list[str]) -> None:
    """Accepts work, or waits for what an earlier one has accepted."""
    async with hector.AgentRuntime(config=hector.AgentRuntimeConfig(settings={"HECTOR_LOG_LEVEL": "warning"})) as it:
        if not accepted:
            value = {"ran": str(directory / "ran"), "may_end": str(directory / "may_end")}
            for _ in range(3):
                print(await it.submit(SLOW, value), flush=True)
            await asyncio.sleep(3600)
        for task in accepted:
            print((await it.wait_for_completion(task, timeout=30)).status, flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), sys.argv[2:]))
    except hector.CannotStart as error:
        sys.exit(str(error))
