"""The operations on tasks. The rules are in `apps.tasks.lifecycle`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, prefetch_related_objects
from django.http import Http404, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.generics import get_object_or_404
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.tasks import forks, lifecycle
from apps.tasks import replay as replays
from apps.tasks.api.idempotency import KeyReused, key_of, once
from apps.tasks.api.serializers import (
    VALUE_SHOWN,
    AttemptForOperators,
    AttemptOut,
    CheckpointOut,
    EventOut,
    ForkBody,
    NewTaskBody,
    RetryBody,
    TaskAgainOut,
    TaskOut,
    TaskQuery,
    WholeCheckpointOut,
)
from apps.tasks.api.stream import EventStream, EventStreamRenderer, LiveEvents
from apps.tasks.api.waiting import Share, client_socket, long_answers, rests_within, wait_asked
from apps.tasks.errors import (
    IllegalTransition,
    InputInvalid,
    NoLongerKept,
    NoNewestVersion,
    NotResumable,
    NotUnique,
    UnknownAgent,
)
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import FINAL, Attempt, Checkpoint, Event, Isolation, PrunedTask, Task, TaskStatus
from apps.tasks.search import TaskFilter, search, with_version
from apps.tenancy.http.fields import ReasonBody
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_ID, BY_UUID, Order, PageQuery, page, whole_number
from apps.tenancy.http.problems import declare, declare_translator
from apps.tenancy.http.views import AppView
from hector_site.problems import problem

declare(IllegalTransition, 409)
declare(UnknownAgent, 400, pointer="/agent")
declare(InputInvalid, 400, pointer="/input")
declare(KeyReused, 422)
declare(NoLongerKept, 410)
declare(NotResumable, 400, pointer="/from_checkpoint")
declare(NoNewestVersion, 409, pointer="/agent_version")


def _not_unique(error: NotUnique) -> HttpResponse:
    headers = {"Location": reverse("task", args=[error.holder])} if error.holder else {}
    fault = {"pointer": "/unique_key", "detail": str(error)}
    return problem(409, str(error), code=error.code, errors=[fault], headers=headers)


declare_translator(NotUnique, _not_unique)

_IN_JOURNAL_ORDER = Order("seq", whole_number, newest_first=False)
_OLDEST_FIRST = Order("pk", BY_ID.parse, newest_first=False)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER, description="Sent again, it makes nothing new."
)
PREFER = OpenApiParameter("Prefer", str, OpenApiParameter.HEADER, description="`wait=N`, at most 60 seconds.")


def tasks() -> QuerySet[Task]:
    """Tasks with what their JSON shows."""
    return with_version(Task.objects.all())


@cache
def _task_shape() -> TaskOut:
    return TaskOut()  # making its fields costs more than using them


def as_json(task: Task) -> dict[str, Any]:
    return dict(_task_shape().to_representation(task))


class TaskView(AppView):
    def task(self, id: UUID) -> Task:
        """Raises Http404, and NoLongerKept for one that was there until not long ago."""
        task = tasks().filter(pk=id).first()
        if task is None:
            raise NoLongerKept(id) if PrunedTask.objects.filter(pk=id).exists() else Http404
        return task


class Tasks(AppView):
    @extend_schema(
        operation_id="list_tasks",
        summary="Tasks, the newest first",
        parameters=[TaskQuery],
        responses=listed(TaskOut),
    )
    def get(self, request: Request) -> Response:
        query = self.query(TaskQuery)
        wanted = TaskFilter(
            status=sorted(query.get("status", ())),
            text=query.get("q"),
            **{
                name: query.get(name)
                for name in ("agent", "session", "tag", "entry_point", "forked_from", "created_after", "created_before")
            },
        )
        shown = page(request, with_version(search(wanted)), BY_UUID, query)
        prefetch_related_objects([task for task in shown.rows if task.status == TaskStatus.INPUT_REQUIRED], "approvals")
        return shown.answer(TaskOut)

    @extend_schema(
        operation_id="submit_task",
        summary="Submit a task",
        description="Once this has answered, the task is durable. With `Prefer: wait=N` the answer is held until the "
        "task rests (ends, or needs a person): 200 if it did within N seconds.",
        parameters=[IDEMPOTENCY_KEY, PREFER],
        request=NewTaskBody,
        responses={
            202: OpenApiResponse(TaskOut, "Accepted."),
            200: OpenApiResponse(TaskOut, "Accepted, and at rest within the time of `Prefer: wait`."),
        },
    )
    def post(self, request: Request) -> Response:
        key = key_of(request)
        new = _new_task(self.body(NewTaskBody))
        task, replayed = once(key, request, lambda: lifecycle.submit(self.app, new, by=self.caller.actor))
        return accepted(request, task, replayed=replayed)


def accepted(request: Request, task: Task, *, replayed: bool) -> Response:
    """The answer to a request that made the task, held for as long as it prefers; `replayed`: an earlier one did."""
    status, headers = 202, {"Location": reverse("task", args=[task.pk])}
    if replayed:
        headers["Idempotency-Replayed"] = "true"
    seconds = wait_asked(request.headers.get("Prefer", ""))
    if seconds is not None:
        with long_answers().taken() as may_wait:
            if may_wait:
                headers["Preference-Applied"] = f"wait={seconds}"
                if rests_within(task.pk, seconds, client_socket(request)):
                    status = 200
                task = tasks().get(pk=task.pk)
    return Response(as_json(task), status=status, headers=headers)


def _new_task(body: dict[str, Any]) -> NewTask:
    body["session"] = body["session"] or ""
    if "isolation" in body:
        body["isolation"] = Isolation(body["isolation"])
    return NewTask(**body)


class OneTask(TaskView):
    @extend_schema(operation_id="get_task", summary="A task", responses=TaskOut)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(as_json(self.task(id)))


class TaskEvents(TaskView):
    renderer_classes = [JSONRenderer, EventStreamRenderer]

    @extend_schema(
        operation_id="list_task_events",
        summary="What happened to a task, the oldest first",
        description="With `Accept: text/event-stream` as a stream that goes on until the task has ended; each event "
        "has its `seq` as id, and `Last-Event-ID` resumes after one. 204: nothing comes after that one any more.",
        parameters=[
            PageQuery,
            OpenApiParameter(
                "Last-Event-ID", int, OpenApiParameter.HEADER, description="Of a stream: go on after this."
            ),
        ],
        responses={(200, "application/json"): listed(EventOut)[200], (200, "text/event-stream"): str, 204: None},
    )
    def get(self, request: Request, id: UUID) -> HttpResponseBase:
        task = self.task(id)
        if isinstance(request.accepted_renderer, EventStreamRenderer):
            return self._stream(task, last_event_id(request))
        query = self.query(PageQuery)
        shown = page(request, Event.objects.filter(task=task), _IN_JOURNAL_ORDER, query)
        return shown.answer(EventOut)

    def _stream(self, task: Task, after: int) -> HttpResponseBase:
        if task.status in FINAL and after >= task.last_seq:
            return HttpResponse(status=204)  # tells a browser's EventSource not to come back
        client = client_socket(self.request)
        return streamed(lambda share: EventStream(self.app, self.caller, task.pk, after, share, client))


def streamed(begin: Callable[[Share], LiveEvents]) -> HttpResponseBase:
    """The answer that streams, or a problem where too many do already."""
    share = long_answers()
    if not share.take():
        return problem(
            503, "Too many event streams are open; try again, or ask without one.", headers={"Retry-After": "5"}
        )
    return StreamingHttpResponse(
        begin(share),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


def last_event_id(request: Request) -> int:
    text = request.headers.get("Last-Event-ID", "") or "0"
    try:
        return whole_number(text)
    except ValueError:
        raise ParseError("The Last-Event-ID is not one that this stream has given.") from None


class TaskAttempts(TaskView):
    @extend_schema(
        operation_id="list_task_attempts",
        summary="A task's attempts that have ended, the oldest first",
        parameters=[PageQuery],
        responses=listed(AttemptForOperators),
    )
    def get(self, request: Request, id: UUID) -> Response:
        shown = page(request, Attempt.objects.filter(task=self.task(id)), _OLDEST_FIRST, self.query(PageQuery))
        # A traceback shows more than an App's people should see of the installation.
        shape = AttemptForOperators if self.caller.is_platform_operator else AttemptOut
        return shown.answer(shape)


class TaskCheckpoints(TaskView):
    @extend_schema(
        operation_id="list_task_checkpoints",
        summary="A task's journal, the oldest entry first",
        parameters=[PageQuery],
        responses=listed(CheckpointOut),
    )
    def get(self, request: Request, id: UUID) -> Response:
        rows = replays.with_resumable(Checkpoint.objects.filter(task=self.task(id)))
        shown = page(request, rows.defer("value", "packed"), _IN_JOURNAL_ORDER, self.query(PageQuery))
        whole = rows.in_bulk([point.pk for point in shown.rows if point.size <= VALUE_SHOWN])
        return replace(shown, rows=[whole.get(point.pk, point) for point in shown.rows]).answer(CheckpointOut)


class TaskCheckpoint(TaskView):
    @extend_schema(
        operation_id="get_task_checkpoint",
        summary="One entry of a task's journal, with its whole value",
        responses=CheckpointOut,
    )
    def get(self, request: Request, id: UUID, seq: int) -> Response:
        rows = replays.with_resumable(Checkpoint.objects.filter(task=self.task(id)))
        return Response(WholeCheckpointOut(get_object_or_404(rows, seq=min(seq, 2**31 - 1))).data)


class CancelTask(TaskView):
    @extend_schema(
        operation_id="cancel_task",
        summary="Cancel a task",
        description="A running task says `cancelled` once its work has really stopped.",
        request=ReasonBody,
        responses={202: TaskOut},
    )
    def post(self, request: Request, id: UUID) -> Response:
        task = lifecycle.cancel(self.app, self.task(id), **self.who_and_why())
        return Response(as_json(task), status=202)


class RetryTask(TaskView):
    @extend_schema(
        operation_id="retry_task",
        summary="Run a failed or cancelled task again",
        description="It goes on from its last checkpoint, from one that you choose, or, with another input, from the "
        "beginning. `replay` says what happens again.",
        request=RetryBody,
        responses={202: TaskAgainOut},
    )
    def post(self, request: Request, id: UUID) -> Response:
        body = self.body(RetryBody)
        task, point, new_input = self.task(id), body.get("from_checkpoint"), body.get("input")
        plan = replays.plan(task, point, anew=point is None and new_input is not None)
        task = lifecycle.retry(
            self.app, task, by=self.caller.actor, new_input=new_input, from_checkpoint=point, reason=body["reason"]
        )
        return Response(_again(task, plan), status=202)


class ForkTask(TaskView):
    @extend_schema(
        operation_id="fork_task",
        summary="Make a new task that begins as this one did",
        description="Whatever the state of this one. The new task has a copy of the journal up to `from_checkpoint`, "
        "or starts from the beginning; `replay` says what happens again.",
        parameters=[
            IDEMPOTENCY_KEY,
        ],
        request=ForkBody,
        responses={202: TaskAgainOut},
    )
    def post(self, request: Request, id: UUID) -> Response:
        key, body, parent = key_of(request), self.body(ForkBody), self.task(id)
        point = body.get("from_checkpoint")
        plan = forks.plan_of(parent, point)
        asked = {"new_input": body.get("input"), "newest": body["agent_version"] == "newest", "reason": body["reason"]}
        task, replayed = once(
            key,
            request,
            lambda: forks.fork(self.app, parent, by=self.caller.actor, from_checkpoint=point, **asked),
        )
        headers = {"Location": reverse("task", args=[task.pk])} | ({"Idempotency-Replayed": "true"} if replayed else {})
        return Response(_again(task, plan), status=202, headers=headers)


def _again(task: Task, plan: replays.Replay) -> dict[str, Any]:
    return as_json(task) | {"replay": plan.as_json() | {"summary": plan.sentence()}}
