"""What happens in the App, and saying that something has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

from hector.client.calls import Call, Group, Page, Stream, following, given, listing, operation
from hector.client.connection import Async, Sync
from hector.client.tasks import Event

C = TypeVar("C", Sync, Async)


class AppEvent(Event):
    """Something that happened in the App; `task`, `agent` and `entry_point` are None where it is of no task."""

    id: int
    task: str | None
    agent: str | None
    entry_point: str | None


class Events(Group[C]):
    @listing("list_events")
    def list(
        self,
        *,
        type: str | Sequence[str] | None = None,
        task: str | None = None,
        agent: str | None = None,
        entry_point: str | None = None,
        limit: int | None = None,
    ) -> Call[Page[AppEvent]]:
        """What has happened, the newest first; `limit` is how many are fetched at a time."""
        query = given(type=type, task=task, agent=agent, entry_point=entry_point, limit=limit)
        return Call(Page[AppEvent], "GET", "/events", query)

    @following
    def follow(
        self,
        *,
        type: str | Sequence[str] | None = None,
        task: str | None = None,
        agent: str | None = None,
        entry_point: str | None = None,
        after: int | None = None,
    ) -> Stream[AppEvent]:
        """What happens, without end: from now on, or all that came after the event whose id is `after`.

        A stream that is cut off is taken up again, without a gap and without a repetition.
        """
        query = urlencode(given(type=type, task=task, agent=agent, entry_point=entry_point), doseq=True)
        return Stream(AppEvent, f"/events?{query}" if query else "/events", after)

    @operation("publish_event")
    def publish(
        self,
        type: str,
        *,
        data: Mapping[str, Any] | None = None,
        task: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[AppEvent]:
        """Says that something has happened; once this has answered, no crash loses it.

        `idempotency_key`: sent again with it, it happens once; left out, the client makes one for its own tries.
        """
        headers = {"Idempotency-Key": idempotency_key or str(uuid4())}
        return Call(
            AppEvent, "POST", "/events", body=given(type=type, data=data, task=task), headers=headers, repeatable=True
        )
