"""`/admin/queue`, `/admin/workers`, and pausing an App: the operator's view of the queue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_serializer, extend_schema_view
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from apps.queue import control, holds, workers
from apps.queue.holds import Effect
from apps.queue.models import Hold, Worker
from apps.tenancy import lifecycle
from apps.tenancy.http.fields import Body, Reason, ReasonBody, WholeNumber
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_ID, PageQuery, page
from apps.tenancy.http.views import ApiView
from apps.tenancy.models import App


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
    max_concurrent = serializers.IntegerField(
        allow_null=True, help_text="How many tasks run at a time, on all hosts together; null: as many as fit."
    )
    running = serializers.IntegerField(help_text="Tasks that run, and count to that.")
    oldest_ready_seconds = serializers.FloatField(allow_null=True)
    apps = serializers.DictField(child=CountsOut(), help_text="By the App's name.")


@extend_schema_serializer(component_name="Worker")
class WorkerOut(serializers.ModelSerializer[Worker]):
    running = serializers.IntegerField(help_text="Entries that it holds.")

    class Meta:
        model = Worker
        fields = ["id", "host", "pid", "version", "slots", "running", "draining", "started_at", "heartbeat_at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="QueueSettings")
class QueuePatchBody(Body):
    max_concurrent = WholeNumber(
        min_value=1, max_value=2**31 - 1, allow_null=True, help_text="Tasks at a time; null: as many as fit."
    )
    reason = Reason()


def _queue() -> Response:
    found = asdict(control.status())
    return Response(found.pop("total") | found)


class Queue(ApiView):
    @extend_schema(operation_id="get_queue", summary="What waits and what is being done", responses=QueueOut)
    def get(self, request: Request) -> Response:
        return _queue()

    @extend_schema(
        operation_id="change_queue",
        summary="Limit how many tasks the installation runs at a time",
        description="What runs goes on to its end, also where it is more. What does not fit waits in line.",
        request=QueuePatchBody,
        responses=QueueOut,
    )
    def patch(self, request: Request) -> Response:
        body = self.body(QueuePatchBody)
        control.limit(body["max_concurrent"], by=self.caller.actor, reason=body["reason"])
        return _queue()


class _QueueVerb(ApiView):
    verb: Callable[..., None]

    def post(self, request: Request) -> Response:
        self.verb(**self.who_and_why())
        return _queue()


@extend_schema_view(
    post=extend_schema(
        operation_id="pause_queue", summary="Stop claiming, everywhere", request=ReasonBody, responses=QueueOut
    )
)
class PauseQueue(_QueueVerb):
    verb = staticmethod(control.pause)


@extend_schema_view(
    post=extend_schema(
        operation_id="resume_queue", summary="Claim again, everywhere", request=ReasonBody, responses=QueueOut
    )
)
class ResumeQueue(_QueueVerb):
    verb = staticmethod(control.resume)


def _workers() -> QuerySet[Worker]:
    held = Count("queueentry", filter=Q(queueentry__state="leased"))
    return Worker.objects.filter(stopped_at=None).annotate(running=held)


class Workers(ApiView):
    @extend_schema(
        operation_id="list_workers",
        summary="The worker processes on shift, the newest first",
        parameters=[PageQuery],
        responses=listed(WorkerOut),
    )
    def get(self, request: Request) -> Response:
        shown = page(request, _workers(), BY_ID, self.query(PageQuery))
        return shown.answer(WorkerOut)


class DrainWorker(ApiView):
    @extend_schema(
        operation_id="drain_worker",
        summary="Let a worker finish and go off shift",
        description="It claims nothing any more; what it runs is handed back at its next checkpoint, or runs to its "
        "end. Its place stays empty until `hector worker` is started anew on its host.",
        request=ReasonBody,
        responses={202: WorkerOut},
    )
    def post(self, request: Request, id: int) -> Response:
        if id >= 2**63 or not workers.drain(id, **self.who_and_why()):
            raise NotFound("No worker of this id is on shift.")
        return Response(WorkerOut(_workers().get(pk=id)).data, status=202)


@extend_schema_serializer(component_name="Hold")
class HoldOut(serializers.ModelSerializer[Hold]):
    """Who has paused it, since when and why."""

    by = serializers.CharField(source="actor")

    class Meta:
        model = Hold
        fields = ["by", "since", "reason"]
        read_only_fields = fields


@extend_schema_serializer(component_name="PauseResult")
class PauseOut(serializers.Serializer[Any]):
    """What a pause, or its end, means for the tasks that there are."""

    paused = HoldOut(allow_null=True, help_text="null: it is not paused itself.")
    running = serializers.IntegerField(help_text="They run on to their end.")
    waiting = serializers.IntegerField()
    scheduled = serializers.IntegerField(help_text="They are for later.")
    effect = serializers.CharField(help_text="The same in words.")


def paused(app: App, lane: str, effect: Effect) -> Response:
    """The answer to pausing or resuming an App, or one of its lanes."""
    answer = {**asdict(effect), "paused": holds.of(app, lane), "effect": effect.sentence}
    return Response(PauseOut(answer).data)


class _AppVerb(ApiView):
    verb: Callable[..., Effect]

    def post(self, request: Request, name: str) -> Response:
        app = lifecycle.get(name)
        return paused(app, "", self.verb(app, **self.who_and_why()))


@extend_schema_view(
    post=extend_schema(
        operation_id="pause_app",
        summary="Start nothing of an App any more",
        description="What runs goes on to its end. Tasks are still accepted; they wait.",
        request=ReasonBody,
        responses=PauseOut,
    )
)
class PauseApp(_AppVerb):
    verb = staticmethod(holds.hold)


@extend_schema_view(
    post=extend_schema(
        operation_id="resume_app",
        summary="Let an App's tasks start again",
        description="Those of agents that are paused by themselves go on waiting.",
        request=ReasonBody,
        responses=PauseOut,
    )
)
class ResumeApp(_AppVerb):
    verb = staticmethod(holds.lift)


urlpatterns = [
    path("admin/queue", Queue.as_view(), name="admin-queue"),
    path("admin/queue/pause", PauseQueue.as_view(), name="admin-queue-pause"),
    path("admin/queue/resume", ResumeQueue.as_view(), name="admin-queue-resume"),
    path("admin/workers", Workers.as_view(), name="admin-workers"),
    path("admin/workers/<int:id>/drain", DrainWorker.as_view(), name="admin-worker-drain"),
    path("admin/apps/<slug:name>/pause", PauseApp.as_view(), name="admin-app-pause"),
    path("admin/apps/<slug:name>/resume", ResumeApp.as_view(), name="admin-app-resume"),
]
