"""Pausing an App, or one of its lanes (an agent): what it has in the queue is `parked` until the hold is lifted.

A hold stops nothing that runs. What waits, and what becomes ready later, is parked, so claims never look at it,
however much that is. Each way into `ready` asks whether there is a hold (`entries.ready_unless_held`); a claim that
took an entry which slipped by parks it. An entry that is being parked at the very moment at which its hold is lifted
may stay parked until the next `sweep`, within a minute.

Several causes may hold an App at a time: an operator's pause, its suspension. It goes on when none is left.

A lifted hold lets its entries go on in their order, and without a burst: their tags are moved up to where the queue is
now, so an App that was held does not catch up on its share of the past.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import transaction
from django.db.models import Case, Count, When

from apps.queue import entries, limits, sql
from apps.queue.entries import held, last_tag, next_tag, wake
from apps.queue.models import Hold, QueueEntry
from apps.tenancy.context import in_app
from apps.tenancy.models import App

log = structlog.get_logger(__name__)
BATCH = 5000
_WEIGHTIEST_LAST = Case(When(cause=Hold.Cause.PAUSE, then=0), default=1)

Recorder = Callable[[App, str, str, str, str], object]
# Who writes down what was done, in its transaction and inside the App: called with the App, the lane, "paused" or
# "resumed", who did it and the reason.
recorders: list[Recorder] = []


@dataclass(frozen=True)
class Effect:
    """What there is of the App or lane at the moment: what a hold leaves running, and what it keeps waiting."""

    running: int
    waiting: int
    scheduled: int

    @property
    def sentence(self) -> str:
        """What a pause does to it."""
        parts = [
            "1 task runs on to its end" if self.running == 1 else f"{self.running:,} tasks run on to their end",
            "1 waits" if self.waiting == 1 else f"{self.waiting:,} wait",
        ]
        if self.scheduled:
            parts.append("1 is for later" if self.scheduled == 1 else f"{self.scheduled:,} are for later")
        return "; ".join(parts) + "."


def of(app: App, lane: str = "") -> Hold | None:
    """The pause of the App (lane "") or of just this lane."""
    return Hold.objects.filter(app=app, lane=lane, cause=Hold.Cause.PAUSE).first()


def by_lane(app: App) -> dict[str, Hold]:
    """What holds the App and its lanes; where several causes hold it, the one that has to be lifted last."""
    return {one.lane: one for one in Hold.objects.filter(app=app).order_by(_WEIGHTIEST_LAST)}


def effect(app: App, lane: str = "") -> Effect:
    """Reads all entries of the App: some 100 ms for a million."""
    found = QueueEntry.objects.filter(app=app, **({"lane": lane} if lane else {}))
    count = dict(found.values_list("state").annotate(Count("pk")).order_by())
    return Effect(count.get("leased", 0), count.get("ready", 0) + count.get("parked", 0), count.get("scheduled", 0))


def hold(app: App, lane: str = "", *, by: str, reason: str = "") -> Effect:
    """Pauses the App, or one lane of it; what that does to what runs and waits. A second hold changes the reason.

    The hold counts from its commit on; entries are then parked in batches, each in a transaction of its own.
    """
    with in_app(app), transaction.atomic():
        write(app, lane, by=by, reason=reason)
        _record(app, lane, "paused", by, reason)
    park(app, lane)
    return effect(app, lane)


def lift(app: App, lane: str = "", *, by: str, reason: str = "") -> Effect:
    """Resumes the App, or one lane of it, unless it is held otherwise too; nothing happens if it was not paused."""
    with in_app(app), transaction.atomic():
        lifted = erase(app, lane)
        if lifted:
            _record(app, lane, "resumed", by, reason)
    if lifted:
        unpark(app.pk)
    return effect(app, lane)


def write(app: App, lane: str = "", *, by: str, reason: str, cause: Hold.Cause = Hold.Cause.PAUSE) -> None:
    """Holds it from the transaction's commit on; `park` what is ready then."""
    defaults = {"actor": by, "reason": reason}
    Hold.objects.update_or_create(app=app, lane=lane, cause=cause, defaults=defaults)


def erase(app: App, lane: str = "", *, cause: Hold.Cause = Hold.Cause.PAUSE) -> bool:
    """Holds it no longer, from the transaction's commit on, for that cause; `unpark` then. Whether it was held."""
    return Hold.objects.filter(app=app, lane=lane, cause=cause).delete()[0] > 0


def park(app: App, lane: str = "") -> None:
    """Takes what is ready away from the workers, in batches."""
    in_lane, params = _in_lane(lane)
    while sql.execute(
        f"UPDATE queue_queueentry SET state = 'parked', has_place = FALSE WHERE id IN ("
        f" SELECT id FROM queue_queueentry WHERE state = 'ready' AND app_id = %s{in_lane}"
        f" LIMIT {BATCH}{_skip_locked()})",
        [app.pk, *params],
    ):
        pass


def sweep() -> int:
    """Unparks what no hold keeps; how many. For entries that a hold left behind, or a process that died while it
    lifted one."""
    apps = sql.fetch("SELECT DISTINCT app_id FROM queue_queueentry WHERE state = 'parked'")
    return sum(unpark(app_id) for (app_id,) in apps)


def unpark(app_id: int) -> int:
    """Makes ready what is parked and not held, in its order, from where the queue is now; how many.

    Of an App that may run only so many tasks, as many as fit (`apps.queue.limits`).
    """
    free = (
        f"app_id = %s AND NOT {held('queue_queueentry.app_id', 'queue_queueentry.lane')} AND NOT {limits.is_limited()}"
    )
    weight = "(SELECT weight FROM tenancy_app WHERE id = entry.app_id)"
    behind = sql.greatest(next_tag("entry.priority"), last_tag("entry.app_id", "entry.priority"))
    turn = f"{behind} + 1.0 * entry.n / {weight}"
    unparked = 0
    while moved := entries.unpark(free, [app_id], turn, most=BATCH):
        unparked += moved
        wake()
    return unparked + limits.release(app_id)


def _in_lane(lane: str) -> tuple[str, list[str]]:
    return (" AND lane = %s", [lane]) if lane else ("", [])


def _skip_locked() -> str:
    return " FOR UPDATE SKIP LOCKED" if sql.is_postgresql() else ""


def _record(app: App, lane: str, what: str, by: str, reason: str) -> None:
    log.info(f"queue_{what}", app=app.name, lane=lane, by=by, reason=reason)
    for recorder in recorders:
        recorder(app, lane, what, by, reason)
