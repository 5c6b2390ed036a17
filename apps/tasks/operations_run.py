"""Works an operation off, step by step (the handler of queue entries of kind `operation`).

A worker that stops gives the operation back between two steps; one that dies leaves it to the next, which goes on with
the items that nothing is written down for.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from django.db import transaction

from apps.queue import leases
from apps.queue.handler import Job
from apps.queue.leases import Lease
from apps.tasks import operations
from apps.tasks.models import Operation
from apps.tasks.operations import Step
from apps.tenancy.context import in_app
from apps.tenancy.models import App

log = structlog.get_logger(__name__)
AGAIN = 30.0  # seconds after a step could not be done at all


@transaction.atomic
def begin(app: App, claimed: Sequence[Lease], worker: str) -> list[tuple[Lease, None]]:
    running = set(
        Operation.objects.filter(pk__in=[lease.key for lease in claimed], status=Operation.Status.RUNNING).values_list(
            "pk", flat=True
        )
    )
    leases.finish([lease for lease in claimed if lease.key not in running])
    return [(lease, None) for lease in claimed if lease.key in running]


async def run(job: Job) -> None:
    structlog.contextvars.bind_contextvars(app=job.app.name, operation=str(job.lease.key))
    try:
        while job.stop is None:
            step = await job.database.call(_step, job)
            if step.over:
                return
            if step.pause:  # nothing to do for now: the slot is for others
                await job.database.call(leases.reschedule, job.lease, step.pause)
                return
        await job.database.call(leases.give_back, [job.lease])
    except Exception:  # whatever it was, the next worker tries again, and not at once
        log.exception("operation_step_failed")
        await job.database.call(leases.reschedule, job.lease, AGAIN)


def _step(job: Job) -> Step:
    """(Database thread.)"""
    with in_app(job.app), transaction.atomic():
        step = operations.step(job.app, job.lease.key)
        if step.over:
            leases.finish([job.lease])
    return step
