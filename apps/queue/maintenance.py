"""What keeps the queue healthy: small jobs that run at start and every minute on one worker, in no particular place."""

from __future__ import annotations

import structlog

from apps.queue import workers

log = structlog.get_logger(__name__)

# (name, function, every so many minutes)
JOBS: list[tuple[str, str, int]] = [("hector-sweep", "apps.queue.maintenance.sweep", 1)]


def sweep() -> int:
    """Takes over the leases of workers that stopped beating; how many were given back."""
    released = workers.sign_off_stale()
    workers.forget_old()
    if released:
        log.warning("stale_leases_released", count=released)
    return released
