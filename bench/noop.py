"""The handler of entries of kind `noop`: begins and settles, and does nothing in between."""

from __future__ import annotations

from collections.abc import Sequence

from apps.queue import leases
from apps.queue.errors import LostLease
from apps.queue.handler import Job
from apps.queue.leases import Lease
from apps.tenancy.models import App


def begin(app: App, claimed: Sequence[Lease], worker: str) -> list[tuple[Lease, None]]:
    return [(lease, None) for lease in claimed]


async def run(job: Job) -> None:
    await job.database.write(job.app, _finish, job.lease)


def _finish(app: App, claimed: Sequence[Lease]) -> list[LostLease | None]:
    finished = leases.finish(claimed)
    return [None if lease.id in finished else LostLease() for lease in claimed]
