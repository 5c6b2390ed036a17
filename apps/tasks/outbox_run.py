"""Hands events over (the handler of queue entries of kind `outbox`)."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from apps.queue import leases
from apps.queue.errors import LostLease
from apps.queue.handler import Job
from apps.queue.leases import Lease
from apps.tasks import outbox
from apps.tenancy.models import App

log = structlog.get_logger(__name__)
AGAIN = 30.0  # seconds after events could not be handed over at all


def begin(app: App, claimed: Sequence[Lease], worker: str) -> list[tuple[Lease, None]]:
    return [(lease, None) for lease in claimed]


async def run(job: Job) -> None:
    structlog.contextvars.bind_contextvars(app=job.app.name)
    try:
        await job.database.write(job.app, outbox.hand_over, job.lease)
    except LostLease:
        pass
    except Exception:  # whatever a subscriber raised: the events stay, and are tried again, not at once
        log.exception("outbox_failed")
        await job.database.call(leases.reschedule, job.lease, AGAIN)
