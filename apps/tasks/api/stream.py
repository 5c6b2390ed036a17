"""Events as they happen (`text/event-stream`): a task's, and an App's.

A stream begins after `Last-Event-ID`, sends what there is, and then what comes: a task's until the task has ended and
all of it was sent, an App's from now on if it is not told where to begin. Either ends when its token expires, is
revoked or gets another role, and when its client takes nothing for half a minute. It holds a thread, but a database
connection only while it looks. It runs after its view has returned, so it enters the App by itself, each time that it
looks.
"""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Generator, Iterator
from socket import SO_SNDTIMEO, SOL_SOCKET, socket
from typing import Any
from uuid import UUID

import structlog
from django.db import Error as DatabaseError
from django.db.models import Max
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

from apps.accounts.permissions import Caller
from apps.queue import sql
from apps.tasks.api.serializers import AppEventOut, EventOut
from apps.tasks.api.waiting import Share, has_gone, pauses, release_connection
from apps.tasks.event_search import EventFilter
from apps.tasks.models import FINAL, Event, Task
from apps.tenancy.context import in_app
from apps.tenancy.errors import TenancyError
from apps.tenancy.models import App
from apps.tenancy.payloads import shown_to
from apps.tenancy.tokens import is_still_good
from hector_site.drain import draining

log = structlog.get_logger(__name__)
KEEP_ALIVE = 15.0  # seconds
PATIENCE = 30  # seconds in which a client must take something of what is sent
BATCH = 200
Events = list[tuple[int, dict[str, Any]]]  # each with its id in the stream


class EventStreamRenderer(JSONRenderer):
    """Lets a client ask for the stream. What is not one (a problem) is JSON all the same."""

    media_type = "text/event-stream"
    format = "event-stream"


class LiveEvents:
    """The body of the answer. It gives its place in `share` back when it is closed, begun or not."""

    def __init__(self, app: App, caller: Caller, after: int, share: Share, client: socket | None = None) -> None:
        self._app, self._caller = app, caller
        self._seen, self._share, self._client = after, share, client
        self._parts = self._run()
        self._closed = False
        if client is not None:
            limit_sending(client, PATIENCE)

    def __iter__(self) -> Iterator[str]:
        return self._parts

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._parts.close()
            self._share.give_back()

    def _run(self) -> Generator[str, None, None]:
        yield f"id: {self._seen}\nretry: 2000\n\n"  # whoever comes back without having got anything begins there
        pausing, spoken = pauses(), time.monotonic()
        while not (draining() or has_gone(self._client)):
            try:
                if not is_still_good(self._caller):
                    return
                with in_app(self._app), shown_to(self._caller):
                    events, over = self._look()
                release_connection()
            except (DatabaseError, TenancyError) as error:  # the client comes back, and is told then
                log.info("event_stream_ended", app=self._app.name, error=str(error))
                return
            for id, event in events:
                yield _as_text(id, event)
            if over:
                return
            if events:
                pausing, spoken = pauses(), time.monotonic()
            elif time.monotonic() - spoken >= KEEP_ALIVE:
                yield ": still here\n\n"
                spoken = time.monotonic()
            if len(events) < BATCH:
                time.sleep(next(pausing))

    def _look(self) -> tuple[Events, bool]:
        """What came since the last look, and whether that was all. (Inside the App.)"""
        raise NotImplementedError


class EventStream(LiveEvents):
    """A task's. The id is the event's `seq`."""

    def __init__(
        self, app: App, caller: Caller, task_id: UUID, after: int, share: Share, client: socket | None = None
    ) -> None:
        super().__init__(app, caller, after, share, client)
        self._task_id = task_id

    def _look(self) -> tuple[Events, bool]:
        # The task first: what ends it is written together with its last event.
        task = Task.objects.filter(pk=self._task_id).values_list("status", "last_seq").first()
        if task is None:
            return [], True
        events: Events = []
        if task[1] > self._seen:
            rows = Event.objects.filter(task=self._task_id, seq__gt=self._seen).order_by("seq")[:BATCH]
            events = [(row.seq or 0, dict(EventOut(row).data)) for row in rows]
            self._seen = events[-1][0] if events else self._seen
        return events, task[0] in FINAL and self._seen >= task[1]


class AppEventStream(LiveEvents):
    """All of an App's that fit the filter. The id is the event's."""

    def __init__(
        self, app: App, caller: Caller, wanted: EventFilter, after: int, share: Share, client: socket | None = None
    ) -> None:
        super().__init__(app, caller, after, share, client)
        self._wanted, self._horizon = wanted, Horizon()

    def _look(self) -> tuple[Events, bool]:
        settled = self._horizon.look(self._seen)
        if settled <= self._seen:
            return [], False
        found = self._wanted.matching().filter(pk__gt=self._seen, pk__lte=settled)
        rows = list(found.order_by("pk")[:BATCH])
        self._seen = rows[-1].pk if len(rows) == BATCH else settled
        return [(row.pk, dict(AppEventOut(row).data)) for row in rows], False


class Horizon:
    """Up to which id an App's events are all there.

    Ids are given before the commit, so on PostgreSQL an event may appear that has a lower id than another that was
    there before. Whoever gets an id holds a lock on the table, from before that until the transaction ends: once
    nobody does any more who did when an event was seen, nothing can come in front of that one. (SQLite's writers take
    turns.)
    """

    def __init__(self) -> None:
        self._settled = self._seen = 0
        self._writing: set[str] = set()  # who may still bring something in front of `_seen`

    def look(self, after: int) -> int:
        """The last id in front of which nothing can come; no more is found out than whether one is beyond `after`."""
        if self._settled > after:
            return self._settled
        if not self._writing:
            self._seen = newest_id()
        if self._seen > after:
            writing = _writers()
            self._writing = self._writing & writing if self._writing else writing
            if not self._writing:
                self._settled = self._seen
        return self._settled


def newest_id() -> int:
    return Event.objects.aggregate(newest=Max("pk"))["newest"] or 0


def _writers() -> set[str]:
    """The transactions under way that have written events of this App."""
    if not sql.is_postgresql():
        return set()
    rows = sql.fetch(
        "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND granted"
        " AND mode = 'RowExclusiveLock' AND relation = 'tasks_event'::regclass"
        " AND database = (SELECT oid FROM pg_database WHERE datname = CURRENT_DATABASE())"
    )
    return {transaction for (transaction,) in rows}


def limit_sending(client: socket, seconds: int, microseconds: int = 0) -> None:
    """Lets whoever sends to a client that takes nothing any more fail after so long, and not wait without end."""
    client.setsockopt(SOL_SOCKET, SO_SNDTIMEO, struct.pack("@ll", seconds, microseconds))


def _as_text(id: int, event: dict[str, Any]) -> str:
    return f"id: {id}\nevent: {event['type']}\ndata: {json.dumps(event, cls=JSONEncoder)}\n\n"
