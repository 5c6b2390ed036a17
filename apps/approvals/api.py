"""`/approvals`, and deciding. The rules are in `apps.approvals.lifecycle`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.approvals import lifecycle
from apps.approvals.errors import (
    AlreadyCounted,
    AlreadyDecided,
    DecisionInvalid,
    DecisionNotPossible,
    NotEntitled,
    NothingToDecide,
)
from apps.approvals.models import Approval, Decision
from apps.tasks.api.serializers import TaskOut
from apps.tasks.api.views import TaskView, as_json
from apps.tenancy.http.fields import Body, Mapped, OptionalText, Several
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_UUID, PageQuery, page
from apps.tenancy.http.problems import declare, declare_translator
from apps.tenancy.http.views import AppView
from hector_site.problems import problem


def _already_decided(error: AlreadyDecided) -> HttpResponse:
    winner = [{"pointer": "/decision", "detail": error.winner}]
    return problem(409, str(error), code=error.code, errors=winner)


def _invalid(error: DecisionInvalid) -> HttpResponse:
    faults = [{"pointer": pointer, "detail": detail} for pointer, detail in error.faults]
    return problem(400, str(error), code=error.code, errors=faults)


declare(NotEntitled, 403)
declare(AlreadyCounted, 409)
declare(NothingToDecide, 409)
declare(DecisionNotPossible, 409)
declare_translator(AlreadyDecided, _already_decided)
declare_translator(DecisionInvalid, _invalid)

_ANY_JSON = {"description": "Any JSON value."}
_OBJECT = extend_schema_field({"type": "object", "additionalProperties": True})(serializers.JSONField)
_ANY = extend_schema_field(_ANY_JSON)(serializers.JSONField)


@extend_schema_serializer(component_name="Decision")
class DecisionOut(serializers.ModelSerializer[Decision]):
    arguments = _OBJECT(allow_null=True, help_text="What the call was changed to, if it was.")

    class Meta:
        model = Decision
        fields = ["actor", "decision", "comment", "arguments", "at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="Approval")
class ApprovalOut(serializers.ModelSerializer[Approval]):
    task = serializers.UUIDField(source="task_id")
    agent = serializers.CharField(source="task.agent")
    arguments = _ANY(help_text="Exactly those that the tool was, or would be, called with.")
    decisions = DecisionOut(many=True)

    class Meta:
        model = Approval
        fields = [
            "id", "task", "agent", "kind", "tool", "arguments", "prompt", "requested_at", "expires_at", "decisions",
            "required",
        ]  # fmt: skip
        read_only_fields = fields


class ApprovalQuery(PageQuery):
    status = Several(
        choices=Approval.Status.choices, required=False, allow_empty=False, help_text="May be given several times."
    )


@extend_schema_serializer(component_name="DecisionRequest")
class DecideBody(Body):
    decision = serializers.ChoiceField(choices=Decision.Verb.choices)
    comment = OptionalText(max_length=4000)
    arguments = Mapped(required=False, help_text="Other arguments for the call, where the kind of approval allows it.")
    answer = _ANY(required=False, help_text="With `ran`: the result of the call, which the model gets.")


@extend_schema_serializer(component_name="TaskDecisionRequest")
class TaskDecisionBody(Body):
    comment = OptionalText(max_length=4000)
    arguments = Mapped(required=False, help_text="Other arguments for the call.")
    approval = serializers.UUIDField(required=False, help_text="The only one to decide; all open ones if left out.")


def approvals() -> QuerySet[Approval]:
    """Approvals with what their JSON shows."""
    return Approval.objects.select_related("task").only(*_COLUMNS, "task__agent").prefetch_related("decisions")


_COLUMNS = [field.name for field in Approval._meta.concrete_fields]


class Approvals(AppView):
    @extend_schema(
        operation_id="list_approvals",
        summary="What waits, or waited, for a person, the newest first",
        parameters=[ApprovalQuery],
        responses=listed(ApprovalOut),
    )
    def get(self, request: Request) -> Response:
        query = self.query(ApprovalQuery)
        rows = approvals()
        if wanted := query.get("status"):
            rows = rows.filter(status__in=sorted(wanted))
        return page(request, rows, BY_UUID, query).answer(ApprovalOut)


class Decide(AppView):
    @extend_schema(
        operation_id="decide_approval",
        summary="Decide",
        description="An approval of kind `in_doubt` takes `ran` (with the result of the call as `answer`), `run_again` "
        "or `fail`. Decided already, or the task has ended: 409 with how it was closed.",
        request=DecideBody,
        responses=ApprovalOut,
    )
    def post(self, request: Request, id: UUID) -> Response:
        approval = get_object_or_404(Approval.objects.select_related("task"), pk=id)  # before the body is looked at
        body = self.body(DecideBody)
        lifecycle.decide(self.app, approval, by=self.caller, **body)
        return Response(ApprovalOut(approvals().get(pk=id)).data)


class _DecideTask(TaskView):
    verb: Decision.Verb

    def post(self, request: Request, id: UUID) -> Response:
        body: dict[str, Any] = self.body(TaskDecisionBody)
        only = body.pop("approval", None)
        lifecycle.decide_all(self.app, self.task(id), self.verb, by=self.caller, only=only, **body)
        return Response(as_json(self.task(id)))


def _described(operation: str, summary: str) -> dict[str, Any]:
    description = (
        "All open approvals of the task, or the one that `approval` names. Nothing to decide, or an approval that is "
        "decided otherwise (`in_doubt`: the answer names how): 409, and none is decided."
    )
    return {
        "operation_id": operation, "summary": summary, "description": description, "request": TaskDecisionBody,
        "responses": TaskOut,
    }  # fmt: skip


@extend_schema_view(post=extend_schema(**_described("approve_task", "Approve what a task waits for")))
class ApproveTask(_DecideTask):
    verb = Decision.Verb.APPROVE


@extend_schema_view(post=extend_schema(**_described("reject_task", "Reject what a task waits for")))
class RejectTask(_DecideTask):
    verb = Decision.Verb.REJECT


urlpatterns = [
    path("approvals", Approvals.as_view(), name="approvals"),
    path("approvals/<uuid:id>/decide", Decide.as_view(), name="approval-decide"),
    path("tasks/<uuid:id>/approve", ApproveTask.as_view(), name="task-approve"),
    path("tasks/<uuid:id>/reject", RejectTask.as_view(), name="task-reject"),
]
