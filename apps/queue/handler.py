"""What the queue asks of the code that does the work: one module per kind of entry (`HECTOR_QUEUE_HANDLERS`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal, Protocol, cast

from django.conf import settings

from apps.queue.database import DatabaseThread
from apps.queue.leases import Lease
from apps.tenancy.models import App

StopReason = Literal["cancel", "drain", "lost"]


@dataclass
class Job:
    """One leased piece of work under way. `stop` says why it was asked to end, if it was."""

    app: App
    lease: Lease
    payload: Any
    database: DatabaseThread
    worker: str  # host:pid
    stop: StopReason | None = field(default=None)


class Handler(Protocol):
    """A module with these two functions."""

    def begin(self, app: App, leases: Sequence[Lease], worker: str) -> Sequence[tuple[Lease, Any]]:
        """Starts the work, inside the App, in transactions of its own; the leases to run, each with its payload.

        A lease that is not returned was settled here (its work is over, or was never there). It may be asked again
        with the same leases: where one could not be begun, and where the answer to a commit got lost.
        """

    async def run(self, job: Job) -> None:
        """Does the work and settles the lease, whatever happens; LostLease means that there is nothing to settle.

        When `job.stop` becomes "drain" it ends at its next checkpoint and gives the lease back. It is cancelled
        (asyncio) when `job.stop` is "cancel", when it is "lost", and at the end of a drain.
        """


def handler(kind: str) -> Handler:
    return cast(Handler, import_module(settings.HECTOR_QUEUE_HANDLERS[kind]))
