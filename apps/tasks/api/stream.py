"""A task's events as they happen (`text/event-stream`).

A stream begins after `Last-Event-ID`, sends what there is, and then what comes, until the task has ended and all of it
was sent, or its token expires, is revoked or gets another role. It holds a thread, but a database connection only while
it looks. It runs after its view has returned, so it enters the App by itself, each time that it looks.
"""

from __future__ import annotations

import json
import time
from collections.abc import Generator, Iterator
from socket import socket
from typing import Any
from uuid import UUID

import structlog
from django.db import Error as DatabaseError
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.encoders import JSONEncoder

from apps.accounts.permissions import Caller
from apps.tasks.api.serializers import EventOut
from apps.tasks.api.waiting import Share, has_gone, pauses, release_connection
from apps.tasks.models import FINAL, Event, Task
from apps.tenancy.context import in_app
from apps.tenancy.errors import TenancyError
from apps.tenancy.models import App
from apps.tenancy.payloads import shown_to
from apps.tenancy.tokens import is_still_good
from hector_site.drain import draining

log = structlog.get_logger(__name__)
KEEP_ALIVE = 15.0  # seconds
BATCH = 200


class EventStreamRenderer(JSONRenderer):
    """Lets a client ask for the stream. What is not one (a problem) is JSON all the same."""

    media_type = "text/event-stream"
    format = "event-stream"


class EventStream:
    """The body of the answer. It gives its place in `share` back when it is closed, begun or not."""

    def __init__(
        self, app: App, caller: Caller, task_id: UUID, after: int, share: Share, client: socket | None = None
    ) -> None:
        self._app, self._caller, self._task_id = app, caller, task_id
        self._seen, self._share, self._client = after, share, client
        self._parts = self._run()
        self._closed = False

    def __iter__(self) -> Iterator[str]:
        return self._parts

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._parts.close()
            self._share.give_back()

    def _run(self) -> Generator[str, None, None]:
        yield "retry: 2000\n\n"
        pausing, spoken = pauses(), time.monotonic()
        while not (draining() or has_gone(self._client)):
            try:
                if not is_still_good(self._caller):
                    return
                events, over = self._look()
            except (DatabaseError, TenancyError) as error:  # the client comes back, and is told then
                log.info("event_stream_ended", task=str(self._task_id), error=str(error))
                return
            for event in events:
                yield _as_text(event)
            if over:
                return
            if events:
                pausing, spoken = pauses(), time.monotonic()
            elif time.monotonic() - spoken >= KEEP_ALIVE:
                yield ": still here\n\n"
                spoken = time.monotonic()
            if len(events) < BATCH:
                time.sleep(next(pausing))

    def _look(self) -> tuple[list[dict[str, Any]], bool]:
        """What came since the last look, and whether that was all."""
        with in_app(self._app), shown_to(self._caller):
            # The task first: what ends it is written together with its last event.
            task = Task.objects.filter(pk=self._task_id).values_list("status", "last_seq").first()
            if task is None:
                return [], True
            rows = Event.objects.filter(task=self._task_id, seq__gt=self._seen).order_by("seq")[:BATCH]
            events = [dict(EventOut(row).data) for row in rows] if task[1] > self._seen else []
        release_connection()
        if events:
            self._seen = events[-1]["seq"]
        return events, task[0] in FINAL and self._seen >= task[1]


def _as_text(event: dict[str, Any]) -> str:
    return f"id: {event['seq']}\nevent: {event['type']}\ndata: {json.dumps(event, cls=JSONEncoder)}\n\n"
