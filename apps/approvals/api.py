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
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.approvals import inbox, lifecycle
from apps.approvals.choices import choices
from apps.approvals.errors import (
    AlreadyCounted,
    AlreadyDecided,
    DecisionInvalid,
    DecisionNotPossible,
    NotEntitled,
    NothingToDecide,
)
from apps.approvals.grants import Terms
from apps.approvals.models import Approval, Decision
from apps.approvals.words import explain
from apps.tasks.api.serializers import TaskOut
from apps.tasks.api.views import TaskView, as_json
from apps.tenancy.http.fields import Body, Instant, Mapped, OptionalText, Several
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
MOST_AT_ONCE = 200


@extend_schema_serializer(component_name="Decision")
class DecisionOut(serializers.ModelSerializer[Decision]):
    arguments = _OBJECT(allow_null=True, help_text="What the call was changed to, if it was.")
    answer = _ANY(allow_null=True, help_text="The answer to a question, or what a call in doubt had returned.")

    class Meta:
        model = Decision
        fields = ["actor", "decision", "comment", "arguments", "answer", "at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="Approval")
class ApprovalOut(serializers.ModelSerializer[Approval]):
    task = serializers.UUIDField(source="task_id")
    agent = serializers.CharField(source="task.agent")
    arguments = _ANY(help_text="Exactly those that the tool was, or would be, called with.")
    digest = serializers.CharField(help_text="Of the tool and its arguments: what a decision is bound to.")
    schema = _OBJECT(allow_null=True, help_text="JSON Schema of the arguments, or of the answer to a question.")
    policy = serializers.CharField(source="policy_name", help_text="The one that asks; empty: it has no name.")
    explanation = serializers.SerializerMethodField(help_text="Who decides, how many, and until when.")
    requester = serializers.CharField(help_text="Who gave the task its input.")
    choices = serializers.SerializerMethodField(help_text="How it can be decided; empty once it is closed.")
    outcome = serializers.CharField(help_text="What it was decided as, or counts as since its time was over.")
    decisions = DecisionOut(many=True, help_text="While it is open: those of the people who have agreed so far.")

    class Meta:
        model = Approval
        fields = [
            "id", "task", "agent", "kind", "status", "tool", "arguments", "digest", "schema", "prompt", "risk",
            "on_reject", "policy", "explanation", "requester", "choices", "required", "decisions", "outcome",
            "requested_at", "expires_at", "reminded_at", "escalated_at", "closed_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_explanation(self, approval: Approval) -> str:
        return explain(approval.asked_by(), requester=approval.requester)

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=Decision.Verb.choices)))
    def get_choices(self, approval: Approval) -> list[str]:
        return [verb.value for verb in choices(approval)] if approval.status == Approval.Status.OPEN else []


class ApprovalQuery(PageQuery):
    status = Several(
        choices=Approval.Status.choices, required=False, allow_empty=False, help_text="May be given several times."
    )
    mine = serializers.BooleanField(
        required=False,
        default=False,
        help_text="Only open ones that wait for whoever asks: who may decide, and has not.",
    )


@extend_schema_serializer(component_name="GrantRequest")
class GrantTerms(Body):
    task = serializers.BooleanField(required=False, default=False, help_text="True: for the calls of this task.")
    until = Instant(required=False, help_text="For those of all tasks of the agent, until then.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["task"] == ("until" in attrs):
            raise ValidationError("Give either `task`: true, or `until`.")
        return attrs


@extend_schema_serializer(component_name="DecisionRequest")
class DecideBody(Body):
    decision = serializers.ChoiceField(choices=Decision.Verb.choices)
    comment = OptionalText(max_length=4000)
    arguments = Mapped(required=False, help_text="With `approve`: other arguments for the call.")
    answer = _ANY(required=False, help_text="With `answer`, and with `ran` the result of the call; the model gets it.")
    grant = GrantTerms(required=False, help_text="With `approve`: lets further calls of the tool run without asking.")


@extend_schema_serializer(component_name="TaskDecisionRequest")
class TaskDecisionBody(Body):
    comment = OptionalText(max_length=4000)
    arguments = Mapped(required=False, help_text="Other arguments for the call.")
    approval = serializers.UUIDField(required=False, help_text="The only one to decide; all open ones if left out.")


@extend_schema_serializer(component_name="BatchDecisionRequest")
class BatchBody(Body):
    ids = serializers.ListField(child=serializers.UUIDField(), min_length=1, max_length=MOST_AT_ONCE)
    decision = serializers.ChoiceField(choices=["approve", "reject"])
    comment = OptionalText(max_length=4000)


class SkippedOut(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    reason = serializers.CharField()


@extend_schema_serializer(component_name="BatchDecision")
class BatchOut(serializers.Serializer[Any]):
    approved = serializers.ListField(child=serializers.UUIDField())
    rejected = serializers.ListField(child=serializers.UUIDField())
    skipped = SkippedOut(many=True)


def shown(rows: QuerySet[Approval]) -> QuerySet[Approval]:
    """With what their JSON shows."""
    return rows.select_related("task").only(*_COLUMNS, "task__agent").prefetch_related("decisions")


_COLUMNS = [field.name for field in Approval._meta.concrete_fields]


class Approvals(AppView):
    @extend_schema(
        operation_id="list_approvals",
        summary="What waits, or waited, for people, the newest first",
        parameters=[ApprovalQuery],
        responses=listed(ApprovalOut),
    )
    def get(self, request: Request) -> Response:
        query = self.query(ApprovalQuery)
        rows = inbox.mine(self.caller) if query["mine"] else Approval.objects.all()
        if wanted := query.get("status"):
            rows = rows.filter(status__in=sorted(wanted))
        return page(request, shown(rows), BY_UUID, query).answer(ApprovalOut)


class OneApproval(AppView):
    @extend_schema(operation_id="get_approval", summary="One approval", responses=ApprovalOut)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(ApprovalOut(get_object_or_404(shown(Approval.objects.all()), pk=id)).data)


class Decide(AppView):
    @extend_schema(
        operation_id="decide_approval",
        summary="Decide",
        description="What is possible is in the approval's `choices`. One that takes several people stays open until "
        "as many have decided the same; one who rejects is enough. Not among those who may decide: 403, with who may. "
        "Decided already, too late, or the task has ended: 409 with how it was closed. Arguments or an answer that do "
        "not fit the schema: 400 with where.",
        request=DecideBody,
        responses=ApprovalOut,
    )
    def post(self, request: Request, id: UUID) -> Response:
        approval = get_object_or_404(Approval.objects.select_related("task"), pk=id)  # before the body is looked at
        body = self.body(DecideBody)
        if (terms := body.pop("grant", None)) is not None:
            body["grant"] = Terms(terms.get("until"))
        lifecycle.decide(self.app, approval, by=self.caller, **body)
        return Response(ApprovalOut(shown(Approval.objects.filter(pk=id)).get()).data)


class DecideSeveral(AppView):
    @extend_schema(
        operation_id="decide_approvals",
        summary="Decide about several, each by itself",
        description="One that cannot be decided is skipped, with the reason, and holds up no other.",
        request=BatchBody,
        responses=BatchOut,
    )
    def post(self, request: Request) -> Response:
        body = self.body(BatchBody)
        batch = lifecycle.decide_batch(self.app, body["ids"], body["decision"], by=self.caller, comment=body["comment"])
        approves = body["decision"] == Decision.Verb.APPROVE
        answer = {
            "approved": batch.decided if approves else [],
            "rejected": [] if approves else batch.decided,
            "skipped": [{"id": id, "reason": reason} for id, reason in batch.skipped],
        }
        return Response(BatchOut(answer).data)


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
    path("approvals/decide", DecideSeveral.as_view(), name="approvals-decide"),
    path("approvals/<uuid:id>", OneApproval.as_view(), name="approval"),
    path("approvals/<uuid:id>/decide", Decide.as_view(), name="approval-decide"),
    path("tasks/<uuid:id>/approve", ApproveTask.as_view(), name="task-approve"),
    path("tasks/<uuid:id>/reject", RejectTask.as_view(), name="task-reject"),
]
