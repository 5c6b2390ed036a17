"""`/entry-points` and `/stats`: what starts work and how it is doing, started by a call, paused and resumed."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.tasks.api.idempotency import key_of, once
from apps.tasks.api.serializers import TaskInput, TaskOut
from apps.tasks.api.views import IDEMPOTENCY_KEY, PREFER, accepted, tasks
from apps.tasks.models import Task
from apps.tenancy.http.fields import Body, Instant, Query, ReasonBody, WholeNumber
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_UUID, Order, PageQuery, page
from apps.tenancy.http.problems import declare
from apps.tenancy.http.views import AppView
from apps.triggers.entry_points import activity, backfill, lifecycle, stillness, timers
from apps.triggers.entry_points.activity import Activity, Counts
from apps.triggers.entry_points.specs import spec_of
from apps.triggers.errors import EntryPointRefused, NothingStarted
from apps.triggers.models import EntryPoint, Firing

declare(EntryPointRefused, 409)

_BY_NAME = Order("name", str, newest_first=False)


@extend_schema_serializer(component_name="EntryPoint")
class EntryPointOut(serializers.ModelSerializer[EntryPoint]):
    id = serializers.CharField(source="name", help_text="Its name in the document.")
    type = serializers.CharField(help_text="What starts it.")
    description = serializers.CharField()
    state = serializers.ChoiceField(choices=[EntryPoint.State.ACTIVE.value, EntryPoint.State.PAUSED.value])
    pause_reason = serializers.CharField(help_text="Empty: it is not paused, or nobody said why.")
    running = serializers.IntegerField(help_text="Tasks of it that a worker works on.")
    idle_seconds = serializers.FloatField(
        allow_null=True, help_text="Since one of these did something; null: none is running."
    )
    next_runs = serializers.ListField(
        child=serializers.DateTimeField(), help_text="Of a timer: when it fires next; empty while it is paused."
    )

    class Meta:
        model = EntryPoint
        fields = [
            "id", "agent", "type", "description", "state", "paused_at", "paused_by", "pause_reason", "running",
            "idle_seconds", "next_runs",
        ]  # fmt: skip
        read_only_fields = fields


def _looked_up(entry_points: list[EntryPoint]) -> list[EntryPoint]:
    """With what their JSON shows beside their own columns. Where all timers are paused, each of them is."""
    now, still = activity.by_entry_point(), timers.are_paused()
    for entry_point in entry_points:
        found = asdict(now.get(entry_point.name, Activity())) | {"description": spec_of(entry_point).description}
        vars(entry_point).update(found, next_runs=timers.next_runs(entry_point))
        if still is not None and entry_point.type == timers.KIND and entry_point.paused_at is None:
            vars(entry_point).update(paused_at=still.since, paused_by=still.by, pause_reason=still.reason)
    return entry_points


@extend_schema_serializer(component_name="Firing")
class FiringOut(serializers.ModelSerializer[Firing]):
    reason = serializers.CharField(help_text="Why no task was made, or what else is to be said.")
    scheduled_for = serializers.DateTimeField(allow_null=True, help_text="The instant that it is of, if it is of one.")
    task = serializers.UUIDField(allow_null=True, help_text="What it started; it may have been pruned since.")

    class Meta:
        model = Firing
        fields = ["id", "cause", "at", "by", "scheduled_for", "outcome", "reason", "task"]
        read_only_fields = fields


@extend_schema_serializer(component_name="TriggerRequest")
class TriggerBody(Body):
    input = TaskInput(
        required=False,
        allow_null=True,
        help_text="Text or an object: for the entry point's template if only calls start it and it has one, else the "
        "task's input in the place of what its template makes.",
    )


class EntryPoints(AppView):
    @extend_schema(
        operation_id="list_entry_points",
        summary="The App's entry points and how they are doing, by name",
        parameters=[PageQuery],
        responses=listed(EntryPointOut),
    )
    def get(self, request: Request) -> Response:
        shown = page(request, EntryPoint.objects.filter(removed_at=None), _BY_NAME, self.query(PageQuery))
        _looked_up(shown.rows)
        return shown.answer(EntryPointOut)


class EntryPointView(AppView):
    def entry_point(self, name: str) -> EntryPoint:
        """Raises Http404."""
        return get_object_or_404(EntryPoint, name=name, removed_at=None)

    def shown(self, entry_point: EntryPoint) -> Response:
        return Response(EntryPointOut(*_looked_up([entry_point])).data)


class OneEntryPoint(EntryPointView):
    @extend_schema(operation_id="get_entry_point", summary="An entry point", responses=EntryPointOut)
    def get(self, request: Request, name: str) -> Response:
        return self.shown(self.entry_point(name))


class Firings(EntryPointView):
    @extend_schema(
        operation_id="list_firings",
        summary="Each time that something asked an entry point to start work, the newest first",
        parameters=[PageQuery],
        responses=listed(FiringOut),
    )
    def get(self, request: Request, name: str) -> Response:
        found = Firing.objects.filter(entry_point=self.entry_point(name))
        return page(request, found, BY_UUID, self.query(PageQuery)).answer(FiringOut)


class Trigger(EntryPointView):
    @extend_schema(
        operation_id="trigger_entry_point",
        summary="Start an entry point's work now",
        description="Once this has answered, the task is durable. If no task is made (there is no room, or the "
        "template makes nothing of the input) the answer is 409 and says why. With `Prefer: wait=N` the answer is "
        "held until the task rests: 200 if it did within N seconds.",
        parameters=[IDEMPOTENCY_KEY, PREFER],
        request=TriggerBody,
        responses={
            202: OpenApiResponse(TaskOut, "Accepted."),
            200: OpenApiResponse(TaskOut, "Accepted, and at rest within the time of `Prefer: wait`."),
        },
    )
    def post(self, request: Request, name: str) -> Response:
        entry_point, key = self.entry_point(name), key_of(request)
        value = self.body(TriggerBody).get("input")
        asked: list[Firing] = []

        def start() -> Task | None:
            asked.append(lifecycle.trigger(self.app, entry_point, by=self.caller.actor, input=value))
            return tasks().get(pk=asked[0].task) if asked[0].task else None

        task, replayed = once(key, request, start)
        if task is None:
            raise NothingStarted(asked[0].reason)
        return accepted(request, task, replayed=replayed)


class Pause(EntryPointView):
    @extend_schema(
        operation_id="pause_entry_point",
        summary="Let an entry point start nothing by itself until it is resumed",
        description="Whatever the configuration says meanwhile. What it has started goes on. If only calls start it, "
        "these are refused. A second pause changes the reason.",
        request=ReasonBody,
        responses=EntryPointOut,
    )
    def post(self, request: Request, name: str) -> Response:
        return self.shown(lifecycle.pause(self.app, self.entry_point(name), **self.who_and_why()))


class Resume(EntryPointView):
    @extend_schema(
        operation_id="resume_entry_point",
        summary="Let an entry point start work again",
        description="From now on: what it did not start meanwhile is not made up for. It was not paused: 409.",
        request=ReasonBody,
        responses=EntryPointOut,
    )
    def post(self, request: Request, name: str) -> Response:
        return self.shown(lifecycle.resume(self.app, self.entry_point(name), **self.who_and_why()))


class BackfillQuery(Query):
    since = Instant(help_text="The first time that counts.")
    until = Instant(help_text="The last one.")


@extend_schema_serializer(component_name="BackfillRequest")
class BackfillBody(Body):
    since = Instant(help_text="The first time that counts.")
    until = Instant(help_text="The last one.")
    count = WholeNumber(min_value=0, help_text="How many times there are, as `GET` has counted them.")


@extend_schema_serializer(component_name="Backfill")
class BackfillOut(serializers.Serializer[Any]):
    count = serializers.IntegerField()
    first = serializers.DateTimeField(allow_null=True)
    last = serializers.DateTimeField(allow_null=True)


def _times(found: list[datetime]) -> dict[str, Any]:
    return BackfillOut(
        {"count": len(found), "first": found[0] if found else None, "last": found[-1] if found else None}
    ).data


class Backfill(EntryPointView):
    @extend_schema(
        operation_id="count_backfill",
        summary="The times that are over and that a timer has not fired for",
        description="1,000 at most; of more, 409.",
        parameters=[BackfillQuery],
        responses=BackfillOut,
    )
    def get(self, request: Request, name: str) -> Response:
        return Response(_times(backfill.missing(self.entry_point(name), **self.query(BackfillQuery))))

    @extend_schema(
        operation_id="backfill_entry_point",
        summary="Fire a timer for times that are over and that it has not fired for",
        description="Each once, however often this is sent. They are not as many as `count`: 409, and nothing is done.",
        request=BackfillBody,
        responses={202: BackfillOut},
    )
    def post(self, request: Request, name: str) -> Response:
        made = backfill.backfill(self.app, self.entry_point(name), by=self.caller.actor, **self.body(BackfillBody))
        return Response(_times([firing.scheduled_for for firing in made if firing.scheduled_for]), status=202)


@extend_schema_serializer(component_name="Timers")
class TimersOut(serializers.Serializer[Any]):
    paused = serializers.BooleanField()
    timers = serializers.IntegerField(help_text="How many fire, or would if not all were paused.")


class PauseTimers(AppView):
    @extend_schema(
        operation_id="pause_timers",
        summary="Let no timer of the App fire until they are resumed",
        description="Also those that a document brings meanwhile. A second pause changes the reason.",
        request=ReasonBody,
        responses=TimersOut,
    )
    def post(self, request: Request) -> Response:
        stillness.pause_all(self.app, **self.who_and_why())
        return Response(TimersOut({"paused": True, "timers": stillness.count()}).data)


class ResumeTimers(AppView):
    @extend_schema(
        operation_id="resume_timers",
        summary="Let timers fire again",
        description="From now on, and without those that are paused by themselves. They were not paused: 409.",
        request=ReasonBody,
        responses=TimersOut,
    )
    def post(self, request: Request) -> Response:
        return Response(
            TimersOut({"paused": False, "timers": stillness.resume_all(self.app, **self.who_and_why())}).data
        )


@extend_schema_serializer(component_name="Executions")
class CountsOut(serializers.Serializer[Any]):
    pending = serializers.IntegerField()
    running = serializers.IntegerField()
    input_required = serializers.IntegerField(help_text="They wait for a person.")


@extend_schema_serializer(component_name="EntryPointStats")
class EntryPointStatsOut(CountsOut):
    id = serializers.CharField(help_text="Its name in the document.")
    max_concurrent = serializers.IntegerField(allow_null=True, help_text="null: any number.")
    idle_seconds = serializers.FloatField(
        allow_null=True, help_text="Since one of those that run did something; null: none runs."
    )


@extend_schema_serializer(component_name="Stats")
class StatsOut(CountsOut):
    entry_points = EntryPointStatsOut(many=True)


class Stats(AppView):
    @extend_schema(
        operation_id="get_stats",
        summary="What of the App is under way, in all and by entry point",
        description="Tasks that were submitted without an entry point are in the numbers of all.",
        responses=StatsOut,
    )
    def get(self, request: Request) -> Response:
        counts, now = activity.under_way(), activity.by_entry_point()
        shown = [
            {
                "id": one.name,
                "max_concurrent": one.spec.get("max_concurrent"),
                "idle_seconds": now.get(one.name, Activity()).idle_seconds,
                **asdict(counts.get(one.name, Counts())),
            }
            for one in EntryPoint.objects.filter(removed_at=None)
        ]
        whole = {key: sum(asdict(one)[key] for one in counts.values()) for key in asdict(Counts())}
        return Response(StatsOut({**whole, "entry_points": shown}).data)


urlpatterns = [
    path("stats", Stats.as_view(), name="stats"),
    path("entry-points", EntryPoints.as_view(), name="entry-points"),
    path("entry-points/<slug:name>", OneEntryPoint.as_view(), name="entry-point"),
    path("entry-points/<slug:name>/firings", Firings.as_view(), name="entry-point-firings"),
    path("entry-points/<slug:name>/trigger", Trigger.as_view(), name="entry-point-trigger"),
    path("entry-points/<slug:name>/pause", Pause.as_view(), name="entry-point-pause"),
    path("entry-points/<slug:name>/resume", Resume.as_view(), name="entry-point-resume"),
    path("entry-points/<slug:name>/backfill", Backfill.as_view(), name="entry-point-backfill"),
    path("timers/pause", PauseTimers.as_view(), name="timers-pause"),
    path("timers/resume", ResumeTimers.as_view(), name="timers-resume"),
]
