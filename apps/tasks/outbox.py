"""The transactional outbox: events that somebody subscribes to are handed to every subscriber once, in order.

The statement that writes an event marks it `unread` if its type is subscribed to at that moment, and its transaction
also queues an entry of kind `outbox`. Whichever worker gets that entry hands the unread events over, lowest id first,
in one transaction with what the subscribers make of them, so a crash loses and repeats nothing. There is no position
that the reader moves on: an event whose transaction committed late has its mark, and is found, although later ones
were handed over already. So the order is that of the commits, and of one task, that of its events.

Readers of one App take turns, on the rows that they lock. What a subscriber does is therefore short and touches the
database only; whatever takes time is an entry of its own in the queue. A subscriber that raises keeps the App's
events where they are, and is tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from uuid_utils.compat import uuid7

from apps.queue import entries, leases
from apps.queue.entries import NewEntry
from apps.queue.errors import LostLease
from apps.queue.faults import Point, reach
from apps.queue.leases import Lease
from apps.tasks.models import Event, Subscription
from apps.tenancy.connection import connection
from apps.tenancy.models import App

KIND = "outbox"  # of its queue entries
BATCH = 200  # events that one transaction hands over

Consumer = Callable[[App, Sequence[Event]], object]
# By name. Each gets all unread events, also those that only another one has subscribed to.
consumers: dict[str, Consumer] = {}


def subscribe(subscriber: str, types: Collection[str]) -> None:
    """Says which events the subscriber wants from the commit on, in the place of what it wanted before."""
    mine = Subscription.objects.filter(subscriber=subscriber)
    mine.exclude(type__in=types).delete()
    wanted = [Subscription(subscriber=subscriber, type=type) for type in sorted(types)]
    Subscription.objects.bulk_create(wanted, ignore_conflicts=True)


def is_wanted(type: str) -> str:
    """The SQL of whether anybody subscribes to the events of this type (SQL)."""
    return f"{type} IN (SELECT type FROM tasks_subscription)"


def queue_if(unread: Sequence[bool]) -> None:
    """Sees to it that the events that were written just now are handed over, if one of them is unread."""
    if any(unread):
        app = connection.tenant
        assert isinstance(app, App)
        queue(app)


def queue(app: App) -> None:
    """An entry for each transaction, and not one that many share: what another has claimed may have looked too soon."""
    entries.enqueue(app, [NewEntry(uuid7(), kind=KIND, priority=entries.AHEAD)])


def hand_over(app: App, claimed: Sequence[Lease]) -> Sequence[LostLease | None]:
    """Hands unread events to the subscribers, inside the App and a transaction, and settles the leases."""
    events = list(Event.objects.select_for_update().filter(unread=True).order_by("id")[:BATCH])
    if events:
        for consume in consumers.values():
            consume(app, events)
        Event.objects.filter(pk__in=[event.pk for event in events]).update(unread=False)
        reach(Point.OUTBOX_WRITES)
    settle = leases.give_back if len(events) == BATCH else leases.finish
    owned = settle(claimed)
    return [None if lease.id in owned else LostLease() for lease in claimed]
