"""What can go wrong between a worker and the queue."""

from __future__ import annotations


class LostLease(Exception):
    """Another worker owns this entry by now: nothing was written, and the work must stop."""

    code = "lost_lease"


class WorkerFenced(Exception):
    """This worker was given up for dead and owns nothing any more; it must start anew."""

    code = "worker_fenced"
