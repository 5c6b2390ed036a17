"""What keeps an installation healthy: small jobs that one worker, no matter which, runs now and then.

They run as ordinary django-q2 schedules on the process that is not on shift. Other apps add theirs when they are
ready; a job must be safe to run at any time, twice, and on two hosts at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from apps.queue import workers

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class MaintenanceJob:
    name: str
    function: str  # dotted path
    minutes: int


jobs: dict[str, MaintenanceJob] = {}


def register(job: MaintenanceJob) -> None:
    jobs[job.name] = job


register(MaintenanceJob("hector-sweep", "apps.queue.maintenance.sweep", 1))


def sweep() -> int:
    """Takes over the leases of workers that stopped beating; how many were given back."""
    released = workers.sign_off_stale()
    workers.forget_old()
    if released:
        log.warning("stale_leases_released", count=released)
    return released
