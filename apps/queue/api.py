"""`/admin/queue` and `/admin/workers`: the operator's view of the queue."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.db.models import Count, Q
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.queue import control
from apps.queue.models import Worker
from apps.tenancy.http.fields import Body, Text
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_ID, PageQuery, page
from apps.tenancy.http.views import ApiView


@extend_schema_serializer(component_name="QueueCounts")
class CountsOut(serializers.Serializer[Any]):
    ready = serializers.IntegerField()
    scheduled = serializers.IntegerField()
    leased = serializers.IntegerField()
    parked = serializers.IntegerField()


@extend_schema_serializer(component_name="Queue")
class QueueOut(CountsOut):
    paused = serializers.BooleanField()
    reason = serializers.CharField(help_text="Why it is paused.")
    oldest_ready_seconds = serializers.FloatField(allow_null=True)
    apps = serializers.DictField(child=CountsOut(), help_text="By the App's name.")


@extend_schema_serializer(component_name="Worker")
class WorkerOut(serializers.ModelSerializer[Worker]):
    running = serializers.IntegerField(help_text="Entries that it holds.")

    class Meta:
        model = Worker
        fields = ["id", "host", "pid", "version", "slots", "running", "draining", "started_at", "heartbeat_at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="QueueRequest")
class ReasonBody(Body):
    reason = Text(max_length=1000, required=False, default="", allow_blank=True)


def _queue() -> Response:
    found = asdict(control.status())
    return Response(found.pop("total") | found)


class Queue(ApiView):
    @extend_schema(operation_id="get_queue", summary="What waits and what is being done", responses=QueueOut)
    def get(self, request: Request) -> Response:
        return _queue()


class PauseQueue(ApiView):
    @extend_schema(
        operation_id="pause_queue", summary="Stop claiming, everywhere", request=ReasonBody, responses={200: QueueOut}
    )
    def post(self, request: Request) -> Response:
        control.pause(by=self.caller.actor, reason=self.body(ReasonBody)["reason"])
        return _queue()


class ResumeQueue(ApiView):
    @extend_schema(
        operation_id="resume_queue", summary="Claim again, everywhere", request=ReasonBody, responses={200: QueueOut}
    )
    def post(self, request: Request) -> Response:
        control.resume(by=self.caller.actor, reason=self.body(ReasonBody)["reason"])
        return _queue()


class Workers(ApiView):
    @extend_schema(
        operation_id="list_workers",
        summary="The worker processes on shift, the newest first",
        parameters=[PageQuery],
        responses=listed(WorkerOut),
    )
    def get(self, request: Request) -> Response:
        held = Count("queueentry", filter=Q(queueentry__state="leased"))
        workers = Worker.objects.filter(stopped_at=None).annotate(running=held)
        shown = page(request, workers, BY_ID, self.query(PageQuery))
        return shown.answer(WorkerOut)


urlpatterns = [
    path("admin/queue", Queue.as_view(), name="admin-queue"),
    path("admin/queue/pause", PauseQueue.as_view(), name="admin-queue-pause"),
    path("admin/queue/resume", ResumeQueue.as_view(), name="admin-queue-resume"),
    path("admin/workers", Workers.as_view(), name="admin-workers"),
]
