"""The register of worker processes: who is on shift, who beats, who is dead.

A worker that is given up is marked `stopped_at` and its leases are given back in the same transaction; from then on
its heartbeat is refused (`WorkerFenced`) and so is every settlement, since nothing is leased to it any more.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Collection, Sequence
from typing import Any

import psutil
import structlog
from django.conf import settings
from django.db import transaction

from apps.queue import sql
from apps.queue.entries import ready_unless_held, wake
from apps.queue.errors import WorkerFenced
from apps.queue.models import Worker
from hector_site import __version__

log = structlog.get_logger(__name__)


def host_name() -> str:
    return os.environ.get("HECTOR_HOST_NAME") or socket.gethostname()


def register(*, slots: int) -> Worker:
    """Puts this process on shift."""
    return Worker.objects.create(host=host_name(), pid=os.getpid(), version=__version__, slots=slots)


def beat(worker_id: int) -> bool:
    """Says that the worker is alive; whether it is being drained. Raises WorkerFenced if it was given up meanwhile."""
    rows = sql.fetch(
        f"UPDATE queue_worker SET heartbeat_at = {sql.now()} WHERE id = %s AND stopped_at IS NULL RETURNING draining",
        [worker_id],
    )
    if not rows:
        raise WorkerFenced
    return bool(rows[0][0])


def drain(worker_id: int, *, by: str, reason: str = "") -> bool:
    """Lets a worker claim nothing any more; False if it is not on shift.

    What it runs is handed back at its next checkpoint, or runs to its end; then the worker goes off shift, and its
    place stays empty until `hector worker` (or `serve`) is started anew on its host.
    """
    with transaction.atomic():
        found = Worker.objects.filter(pk=worker_id, stopped_at=None).update(draining=True)
        if found:
            wake("drain")
            log.info("worker_drained", drained=worker_id, by=by, reason=reason)
    return bool(found)


def sign_off(worker_id: int) -> int:
    """Ends a worker's shift, alive or dead, and gives its leases back; how many those were."""
    with transaction.atomic():
        sql.execute(
            f"UPDATE queue_worker SET stopped_at = {sql.now()} WHERE id = %s AND stopped_at IS NULL", [worker_id]
        )
        return _release("worker_id = %s", [worker_id])


def _release(which: str, params: Sequence[Any]) -> int:
    """Makes leased entries ready for anybody; how many. (`queue_leased` serves it.)"""
    released = sql.execute(
        f"UPDATE queue_queueentry SET state = {ready_unless_held()}, worker_id = NULL, leased_at = NULL"
        f" WHERE state = 'leased' AND {which}",
        params,
    )
    if released:
        wake()
    return released


def give_back_mislaid(worker_id: int, held: Collection[int]) -> int:
    """Gives back what is leased to the worker and not among the entries that it works on; how many those were.

    An answer of the database that got lost on its way leaves such leases: the claim was committed, and nobody knows.
    """
    rows = sql.fetch("SELECT id FROM queue_queueentry WHERE state = 'leased' AND worker_id = %s", [worker_id])
    mislaid = [row[0] for row in rows if row[0] not in held]
    if not mislaid:
        return 0
    return _release(f"worker_id = %s AND id IN ({sql.placeholders(len(mislaid))})", [worker_id, *mislaid])


def sign_off_dead_processes() -> int:
    """Gives up the workers of this host whose process is gone; the number of leases given back."""
    here = Worker.objects.filter(host=host_name(), stopped_at=None).exclude(pid=os.getpid())
    return sum(sign_off(worker.pk) for worker in here if not _runs(worker))


def sign_off_stale() -> int:
    """Gives up the workers of any host that have not beaten for the stale threshold; the leases given back.

    To be called by one who has beaten in time itself for a while: after an outage of the database every heartbeat is
    old, and who is only about to beat again is not dead.
    """
    stale = f"stopped_at IS NULL AND heartbeat_at < {sql.later()}"
    threshold = -settings.HECTOR_QUEUE_STALE_THRESHOLD
    released = 0
    for (worker_id,) in sql.fetch(f"SELECT id FROM queue_worker WHERE {stale}", [threshold]):
        with transaction.atomic():
            # It may have beaten since; from here on it waits for this transaction, and is refused.
            gone = sql.execute(
                f"UPDATE queue_worker SET stopped_at = {sql.now()} WHERE id = %s AND {stale}", [worker_id, threshold]
            )
            if gone:
                released += _release("worker_id = %s", [worker_id])
    return released


def forget_old(days: int = 7) -> int:
    """Deletes the rows of workers that stopped long ago."""
    return sql.execute(f"DELETE FROM queue_worker WHERE stopped_at < {sql.later()}", [-days * 86400])


def _runs(worker: Worker) -> bool:
    """Whether the process that registered still runs: the same pid started later is somebody else."""
    try:
        process = psutil.Process(worker.pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= worker.started_at.timestamp() + 1
    except psutil.NoSuchProcess:
        return False
