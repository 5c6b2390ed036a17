"""Works off what waits for a channel (the handler of queue entries of kind `delivery`: one for each channel).

A channel takes one slot of one worker, however much waits for it and however slow its receiver is; an App takes no
more than `CHANNELS_AT_ONCE`, and all of them no more than a part of a worker's slots (`SHARE`). Whoever has had a slot
for a `TURN` and is not done goes to the end of the line. So receivers that hang delay neither other channels nor tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Count, Q

from apps.agents.errors import PermanentError
from apps.queue import entries, leases
from apps.queue.entries import NewEntry
from apps.queue.faults import Point, reach
from apps.queue.handler import Job
from apps.queue.leases import Lease
from apps.queue.models import QueueEntry, Worker
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from apps.triggers.channels.base import Outcome, Outgoing, channel_types
from apps.triggers.models import Channel, Delivery
from apps.triggers.notifications import deliveries, lifecycle
from apps.triggers.notifications.deliveries import Attempted, Batch

log = structlog.get_logger(__name__)
CHANNELS_AT_ONCE = 16  # of one App, over all workers
SHARE = 2  # one in so many of a worker's slots
TURN = 5.0  # seconds
SOON = 1.0  # seconds until a channel beyond that is looked at again
AGAIN = 30.0  # seconds after a channel could not be worked off at all


@transaction.atomic
def begin(app: App, claimed: Sequence[Lease], worker: str) -> list[tuple[Lease, UUID]]:
    active = Channel.objects.filter(pk__in=[lease.key for lease in claimed], **lifecycle.ACTIVE)
    known = set(active.values_list("pk", flat=True))
    leases.finish([lease for lease in claimed if lease.key not in known])
    mine = [lease for lease in claimed if lease.key in known]
    fit = _room(app, mine)
    for lease in mine[fit:]:
        leases.reschedule(lease, SOON)
    return [(lease, lease.key) for lease in mine[:fit]]


def _room(app: App, mine: Sequence[Lease]) -> int:
    """How many of these leases of one worker may run."""
    if not mine:
        return 0
    leased = QueueEntry.objects.filter(kind=lifecycle.KIND, state=QueueEntry.State.LEASED)
    taken: dict[str, int] = leased.aggregate(
        of_app=Count("pk", filter=Q(app=app)), of_worker=Count("pk", filter=Q(worker=mine[0].worker_id))
    )
    share = max(1, Worker.objects.get(pk=mine[0].worker_id).slots // SHARE)
    return max(0, len(mine) + min(CHANNELS_AT_ONCE - taken["of_app"], share - taken["of_worker"]))


async def run(job: Job) -> None:
    structlog.contextvars.bind_contextvars(app=job.app.name)
    until = time.monotonic() + TURN
    try:
        while job.stop is None and time.monotonic() < until:
            batch = await job.database.call(_next_batch, job)
            if batch is None:
                return
            async with asyncio.TaskGroup() as group:
                for delivery in batch.deliveries:
                    group.create_task(_deliver(job, batch, delivery))
        await job.database.call(line_up_again, job)
    except Exception:  # whatever it was, the next worker tries again, and not at once
        log.exception("deliveries_failed")
        await job.database.call(leases.reschedule, job.lease, AGAIN)


def _next_batch(job: Job) -> Batch | None:
    """(Database thread.)"""
    with in_app(job.app):
        return deliveries.next_batch(job.app, job.lease, job.payload)


@transaction.atomic
def line_up_again(job: Job) -> None:
    """(Database thread.) Gives the slot back; an entry that is written anew stands behind those that wait already."""
    if leases.finish([job.lease]):
        again = NewEntry(job.lease.key, job.lease.kind, entries.AHEAD, epoch=job.lease.epoch)
        entries.enqueue(job.app, [again])


async def _deliver(job: Job, batch: Batch, delivery: Delivery) -> None:
    begun = time.monotonic()
    outcome = await _sent(batch, delivery)
    seconds = round(time.monotonic() - begun, 3)
    reach(Point.MESSAGE_SENT)
    attempted = Attempted(delivery, outcome, seconds)
    switch_off = await job.database.write(job.app, deliveries.settle, attempted)
    note = log.bind(channel=delivery.channel, delivery=str(delivery.pk), type=delivery.type, seconds=seconds)
    if outcome.error:
        note.warning("notification_failed", error=outcome.error)
    else:
        note.info("notification_delivered")
    if switch_off:
        await job.database.call(_disable, job.app, delivery.channel, switch_off)


async def _sent(batch: Batch, delivery: Delivery) -> Outcome:
    out = Outgoing(delivery.pk, batch.spec, delivery.message, batch.resolve)
    try:
        return await channel_types[batch.spec.type].send(out)
    except PermanentError as error:  # of the configuration: somebody may put it right before the next attempt
        return Outcome(error.message)
    except Exception as error:  # one message that cannot be sent must not keep the others from being sent
        log.exception("notification_broke", channel=delivery.channel, delivery=str(delivery.pk))
        return Outcome(f"Hector could not send this ({type(error).__name__}); its log says why.")


def _disable(app: App, channel: str, reason: str) -> None:
    """(Database thread.)"""
    with in_app(app):
        lifecycle.disable(app, channel, reason)
