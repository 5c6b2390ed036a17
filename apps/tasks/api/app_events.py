"""`/events`: what happened in the App, as a list and as it happens; and saying that something has."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.tasks.api.idempotency import key_of, once
from apps.tasks.api.serializers import AppEventOut, AppEventQuery, NewEventBody
from apps.tasks.api.stream import AppEventStream, EventStreamRenderer, newest_id
from apps.tasks.api.views import IDEMPOTENCY_KEY, last_event_id, streamed
from apps.tasks.api.waiting import client_socket
from apps.tasks.event_search import EventFilter
from apps.tasks.events import publish
from apps.tasks.models import Event, Task
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_ID, page
from apps.tenancy.http.views import AppView


class Events(AppView):
    renderer_classes = [JSONRenderer, EventStreamRenderer]

    @extend_schema(
        operation_id="list_events",
        summary="What happened in the App, the newest first",
        description="With `Accept: text/event-stream` as a stream that does not end: from now on, or, with "
        "`Last-Event-ID`, with all that came after that event. Each event is sent once, in the order of their ids. "
        "The list looks at the newest 20,000 events where it is narrowed, but not to one task.",
        parameters=[
            AppEventQuery,
            OpenApiParameter(
                "Last-Event-ID", int, OpenApiParameter.HEADER, description="Of a stream: go on after this."
            ),
        ],
        responses={(200, "application/json"): listed(AppEventOut)[200], (200, "text/event-stream"): str},
    )
    def get(self, request: Request) -> HttpResponseBase:
        query = self.query(AppEventQuery)
        wanted = EventFilter(query["type"], query.get("task"), query.get("agent", ""), query.get("entry_point", ""))
        if not isinstance(request.accepted_renderer, EventStreamRenderer):
            return page(request, wanted.listed(), BY_ID, query).answer(AppEventOut)
        after = last_event_id(request) if "Last-Event-ID" in request.headers else newest_id()
        return streamed(
            lambda share: AppEventStream(self.app, self.caller, wanted, after, share, client_socket(request))
        )

    @extend_schema(
        operation_id="publish_event",
        summary="Say that something happened",
        description="An event of type `custom`: it stands in the App's list and stream, starts the entry points that "
        "wait for it (`custom.NAME`), and is told to channels. Once this has answered, it is durable.",
        parameters=[IDEMPOTENCY_KEY],
        request=NewEventBody,
        responses={201: AppEventOut},
    )
    def post(self, request: Request) -> Response:
        key, body = key_of(request), self.body(NewEventBody)
        event, replayed = once(key, request, lambda: self._published(body))
        headers = {"Idempotency-Replayed": "true"} if replayed else {}
        return Response(AppEventOut(event).data, status=201, headers=headers)

    def _published(self, body: dict[str, Any]) -> Event:
        task = body.get("task")
        if task is not None and not Task.objects.filter(pk=task).exists():
            raise ValidationError({"task": "There is no such task."})
        id = publish(body["type"], body["data"], by=self.caller.actor, task=task)
        return Event.objects.select_related("task").get(pk=id)
