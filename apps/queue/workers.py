"""The register of worker processes: who is on shift, who beats, who is dead.

A worker that is given up is marked `stopped_at` and its leases are given back in the same transaction; from then on
its heartbeat is refused (`WorkerFenced`) and so is every settlement, since nothing is leased to it any more.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Sequence
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

APART = 0.5  # seconds between the starts of what has crashed together more than once


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
    """Ends a worker's shift and gives its leases back, if there are any left; how many those were."""
    return _end(worker_id, "stopped_at IS NULL", [], _release)


def _end(worker_id: int, condition: str, params: Sequence[Any], release: Callable[[int], int]) -> int:
    """Marks the worker as stopped, if the condition holds; the leases that were given back in the same transaction."""
    with transaction.atomic():
        ended = sql.execute(
            f"UPDATE queue_worker SET stopped_at = {sql.now()} WHERE id = %s AND {condition}", [worker_id, *params]
        )
        return release(worker_id) if ended else 0


def _release(worker_id: int, among: Sequence[int] | None = None, *, crashed: bool = False) -> int:
    """Makes leased entries ready for anybody; how many. (`queue_leased` serves it.)"""
    which = "" if among is None else f" AND id IN ({sql.placeholders(len(among))})"
    released = sql.execute(
        f"UPDATE queue_queueentry SET state = {ready_unless_held()}, worker_id = NULL, leased_at = NULL,"
        f" crashes = crashes + %s"
        f" WHERE state = 'leased' AND worker_id = %s{which}",
        [int(crashed), worker_id, *(among or ())],
    )
    if released:
        wake()
    return released


def _release_from_dead(worker_id: int) -> int:
    """Gives back the leases of a worker that died.

    One of its entries may be why. Those that have seen a worker die before start apart from one another this time, so
    that a task that kills its worker does not use up the attempts of those that only happen to run beside it.
    """
    rows = sql.fetch(
        "SELECT id FROM queue_queueentry WHERE state = 'leased' AND worker_id = %s AND crashes > 0 ORDER BY id",
        [worker_id],
    )
    apart = sql.execute_batch(
        {"entry": "bigint", "owner": "bigint", "delay": "float8"},
        [(entry_id, worker_id, number * APART) for number, (entry_id,) in enumerate(rows)],
        f"UPDATE queue_queueentry SET state = 'scheduled', run_at = {sql.later('delay')}, worker_id = NULL,"
        f" leased_at = NULL, crashes = crashes + 1 FROM batch"
        f" WHERE queue_queueentry.id = batch.entry AND state = 'leased' AND worker_id = owner",
    )
    if apart:
        wake()
    return apart + _release(worker_id, crashed=True)


def give_back_mislaid(worker_id: int, held: Collection[int]) -> int:
    """Gives back what is leased to the worker and not among the entries that it works on; how many those were.

    An answer of the database that got lost on its way leaves such leases: the claim was committed, and nobody knows.
    """
    rows = sql.fetch("SELECT id FROM queue_queueentry WHERE state = 'leased' AND worker_id = %s", [worker_id])
    mislaid = [row[0] for row in rows if row[0] not in held]
    if not mislaid:
        return 0
    return _release(worker_id, mislaid)


def sign_off_dead_processes() -> int:
    """Gives up the workers of this host whose process is gone; the number of leases given back."""
    here = Worker.objects.filter(host=host_name(), stopped_at=None).exclude(pid=os.getpid())
    dead = [worker for worker in here if not _runs(worker)]
    return sum(_end(worker.pk, "stopped_at IS NULL", [], _release_from_dead) for worker in dead)


def sign_off_stale() -> int:
    """Gives up the workers of any host that have not beaten for the stale threshold; the leases given back.

    To be called by one who has beaten in time itself for a while: after an outage of the database every heartbeat is
    old, and who is only about to beat again is not dead.
    """
    stale = f"stopped_at IS NULL AND heartbeat_at < {sql.later()}"
    threshold = -settings.HECTOR_QUEUE_STALE_THRESHOLD
    found = sql.fetch(f"SELECT id FROM queue_worker WHERE {stale}", [threshold])
    # One may have beaten since; the others wait for the transaction if they do now, and are refused.
    return sum(_end(worker_id, stale, [threshold], _release_from_dead) for (worker_id,) in found)


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
