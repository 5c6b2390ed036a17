"""What keeps an installation healthy: small jobs that one worker, no matter which, runs now and then.

They run as ordinary django-q2 schedules on the process that is not on shift. Other apps add theirs when they are
ready; a job must be safe to run at any time, twice, and on two hosts at once.
"""

from __future__ import annotations

from dataclasses import dataclass

from apps.queue import workers


@dataclass(frozen=True)
class MaintenanceJob:
    name: str
    function: str  # dotted path
    minutes: int


jobs: dict[str, MaintenanceJob] = {}


def register(job: MaintenanceJob) -> None:
    jobs[job.name] = job


register(MaintenanceJob("hector-sweep", "apps.queue.maintenance.sweep", 1))
register(MaintenanceJob("hector-deletions", "apps.queue.deletion.sweep", 1))
register(MaintenanceJob("hector-holds", "apps.queue.holds.sweep", 1))


def sweep() -> int:
    """Forgets workers that stopped long ago; how many. (Those that stopped beating are the shifts' to find.)"""
    return workers.forget_old()
