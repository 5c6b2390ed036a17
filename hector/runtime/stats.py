"""What runs and waits in an App, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

from hector.client import AsyncClient
from hector.client.admin import QueueCounts


@dataclass(frozen=True)
class EntryPointStats:
    """`idle_seconds`: since one of its tasks that run did something; None: none runs."""

    running: int
    idle_seconds: float | None
    paused: bool


@dataclass(frozen=True)
class Stats:
    """`waiting` for a slot, `scheduled` for later, `parked` at a limit."""

    running: int
    waiting: int
    scheduled: int
    parked: int
    paused: bool
    entry_points: dict[str, EntryPointStats]


async def stats_of(client: AsyncClient, app: str) -> Stats:
    queue = await client.admin.queue()
    counts = queue.apps.get(app) or QueueCounts(ready=0, scheduled=0, leased=0, parked=0)
    return Stats(
        running=counts.leased,
        waiting=counts.ready,
        scheduled=counts.scheduled,
        parked=counts.parked,
        paused=queue.paused,
        entry_points={
            one.id: EntryPointStats(one.running, one.idle_seconds, one.paused_at is not None)
            async for one in client.entry_points.list()
        },
    )
