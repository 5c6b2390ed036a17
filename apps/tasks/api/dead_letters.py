"""`/dead-letters`: what has failed for good, in groups and one by one, and what is done about it.

The rules are in `apps.tasks.dead_letters` and `apps.tasks.operations`.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.request import Request
from rest_framework.response import Response

from apps.tasks import dead_letters, operations
from apps.tasks.api.serializers import AttemptForOperators, AttemptOut, ErrorOut, TaskInput, TaskOut
from apps.tasks.api.views import as_json
from apps.tasks.dead_letters import LetterFilter, find
from apps.tasks.models import Attempt, DeadLetter, Operation, OperationItem, Task
from apps.tasks.operations import FilterEmpty, NothingMatches, OperationRefused, SetChanged, Shown, UnknownLetters
from apps.tenancy.http.fields import Body, Instant, Reason, ReasonBody, Text, WholeNumber
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_ID, Order, PageQuery, page, whole_number
from apps.tenancy.http.problems import declare
from apps.tenancy.http.views import AppView

declare(OperationRefused, 409)
declare(FilterEmpty, 400, pointer="/all")
declare(UnknownLetters, 400, pointer="/ids")
declare(NothingMatches, 409)
declare(SetChanged, 409, pointer="/count")

ATTEMPTS = 20  # that a letter in a list shows
MOST_IDS = 1000
_BY_LAST_LETTER = Order("last", whole_number)
_OLDEST_FIRST = Order("pk", whole_number, newest_first=False)


class LetterQuery(PageQuery):
    status = serializers.ChoiceField(choices=DeadLetter.Status.choices, required=False)
    fingerprint = serializers.CharField(max_length=64, required=False)
    agent = serializers.CharField(max_length=100, required=False)
    code = serializers.CharField(max_length=100, required=False, help_text="The error's code.")
    entered_after = Instant(required=False, help_text="Filed at this time or later.")
    entered_before = Instant(required=False, help_text="Filed before this time.")


_NARROWING = ("fingerprint", "agent", "code", "entered_after", "entered_before")


@extend_schema_serializer(component_name="DeadLetterOfApp")
class DeadLetterOut(serializers.ModelSerializer[DeadLetter]):
    ATTEMPTS_HELP = f"The last {ATTEMPTS} of its task, the newest first."
    error = ErrorOut()
    attempts = AttemptOut(source="task.last_attempts", many=True, help_text=ATTEMPTS_HELP)
    resolved_by = serializers.CharField(help_text="Who retried or discarded it; empty: nobody yet.")

    class Meta:
        model = DeadLetter
        fields = [
            "id", "task", "agent", "fingerprint", "error", "attempts", "last_checkpoint", "status", "entered_at",
            "resolved_at", "resolved_by", "reason",
        ]  # fmt: skip
        read_only_fields = fields


@extend_schema_serializer(component_name="DeadLetter")
class DeadLetterForOperators(DeadLetterOut):
    attempts = AttemptForOperators(source="task.last_attempts", many=True, help_text=DeadLetterOut.ATTEMPTS_HELP)


@extend_schema_serializer(component_name="DeadLetterSample")
class SampleOut(serializers.ModelSerializer[DeadLetter]):
    error = ErrorOut()

    class Meta:
        model = DeadLetter
        fields = ["id", "task", "error", "entered_at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="DeadLetterGroup")
class GroupOut(serializers.Serializer[Any]):
    fingerprint = serializers.CharField()
    agent = serializers.CharField(source="sample.agent")
    code = serializers.CharField(source="sample.code")
    count = serializers.IntegerField()
    first_seen = serializers.DateTimeField()
    last_seen = serializers.DateTimeField()
    sample = SampleOut(help_text="The newest of them.")


@extend_schema_serializer(component_name="DeadLetterRetry")
class RetryLetterBody(Body):
    input = TaskInput(required=False, help_text="Runs from the beginning with another input.")
    reason = Reason()


@extend_schema_serializer(component_name="DeadLetterBulk")
class BulkBody(Body):
    action = serializers.ChoiceField(choices=Operation.Verb.choices)
    ids = serializers.ListField(
        child=WholeNumber(min_value=1, max_value=2**63 - 1), min_length=1, max_length=MOST_IDS, required=False,
        help_text="These letters and no others; those that are resolved already are skipped.",
    )  # fmt: skip
    fingerprint = Text(max_length=64, required=False)
    agent = Text(max_length=100, required=False)
    code = Text(max_length=100, required=False)
    entered_after = Instant(required=False)
    entered_before = Instant(required=False)
    all = serializers.BooleanField(required=False, default=False, help_text="Every open letter; takes no filter.")
    count = WholeNumber(
        min_value=0, required=False, help_text="How many you expect. If others match by now, nothing is done: 409."
    )
    canary = serializers.BooleanField(
        required=False, default=False,
        help_text="Retries one first. The others follow by themselves once its task has completed; if it ends in any "
        "other way, they are left as they are.",
    )  # fmt: skip
    input = TaskInput(required=False, help_text="Of a retry: each of them starts over with this input.")
    reason = Reason()

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        narrowed = [name for name in _NARROWING if values.get(name)]
        if values["all"] and (narrowed or "ids" in values):
            raise ValidationError({"all": "This takes no filter: leave one of them out."})
        if narrowed and "ids" in values:
            raise ValidationError({"ids": "Name the letters or give a filter, not both."})
        for name in ("input", "canary"):
            if values["action"] != Operation.Verb.RETRY and values.get(name):
                raise ValidationError({name: "Only a retry takes this."})
        return values


@extend_schema_serializer(component_name="Operation")
class OperationOut(serializers.ModelSerializer[Operation]):
    action = serializers.CharField(source="verb")
    actor = serializers.CharField(help_text="Who started it.")
    done = serializers.IntegerField()
    skipped = serializers.IntegerField(help_text="Somebody else had resolved them.")
    failed = serializers.IntegerField(help_text="They could not be retried or discarded and are still open.")
    waiting = serializers.IntegerField(help_text="Not done yet; of a stopped operation, not done at all.")
    gone = serializers.IntegerField(help_text="Their letters are no longer kept.")

    class Meta:
        model = Operation
        fields = [
            "id", "action", "status", "filter", "actor", "total", "done", "skipped", "failed", "waiting", "gone",
            "stopped_by", "stop_reason", "created_at", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    def to_representation(self, operation: Operation) -> dict[str, Any]:
        vars(operation).update(operations.counts(operation))  # read by the fields above
        return super().to_representation(operation)


@extend_schema_serializer(component_name="OperationItem")
class ItemOut(serializers.ModelSerializer[OperationItem]):
    task = serializers.UUIDField(source="dead_letter.task_id")
    detail = serializers.CharField(help_text="Why it was skipped or failed.")

    class Meta:
        model = OperationItem
        fields = ["dead_letter", "task", "outcome", "detail", "at"]
        read_only_fields = fields


class ItemQuery(PageQuery):
    outcome = serializers.ChoiceField(choices=OperationItem.Outcome.choices, required=False)


def _filter(values: dict[str, Any]) -> LetterFilter:
    given = {name: values[name] for name in ("status", *_NARROWING) if values.get(name)}
    return LetterFilter(**given, ids=tuple(values["ids"]) if "ids" in values else None)


class LetterView(AppView):
    def letter(self, id: int) -> DeadLetter:
        """Raises Http404."""
        return get_object_or_404(DeadLetter, pk=id)

    @property
    def shape(self) -> type[DeadLetterOut]:
        # A traceback shows more than an App's people should see of the installation.
        return DeadLetterForOperators if self.caller.is_platform_operator else DeadLetterOut

    def whole(self, letters: QuerySet[DeadLetter]) -> QuerySet[DeadLetter]:
        """Letters with what their JSON shows."""
        attempts = Attempt.objects.order_by("-pk")[:ATTEMPTS]
        return letters.prefetch_related(
            Prefetch("task", queryset=Task.objects.only("pk")),
            Prefetch("task__attempts", queryset=attempts, to_attr="last_attempts"),
        )


class DeadLetters(LetterView):
    @extend_schema(
        operation_id="list_dead_letters",
        summary="Dead letters, the newest first",
        parameters=[LetterQuery],
        responses=listed(DeadLetterForOperators),
    )
    def get(self, request: Request) -> Response:
        query = self.query(LetterQuery)
        return page(request, self.whole(find(_filter(query))), BY_ID, query).answer(self.shape)


class DeadLetterGroups(LetterView):
    @extend_schema(
        operation_id="list_dead_letter_groups",
        summary="Dead letters by fingerprint, the most recently filed first",
        description="A fingerprint is the agent, the error's code and its message without numbers and ids.",
        parameters=[LetterQuery],
        responses=listed(GroupOut),
    )
    def get(self, request: Request) -> Response:
        query = self.query(LetterQuery)
        rows = cast("QuerySet[DeadLetter]", dead_letters.grouped(_filter(query)))
        shown = page(request, rows, _BY_LAST_LETTER, query)
        results = GroupOut(dead_letters.described(shown.rows), many=True).data
        return Response({"results": results, "next": shown.next, "previous": shown.previous})


class RetryDeadLetter(LetterView):
    @extend_schema(
        operation_id="retry_dead_letter",
        summary="Run the task of a dead letter again",
        request=RetryLetterBody,
        responses={202: TaskOut},
    )
    def post(self, request: Request, id: int) -> Response:
        body, letter = self.body(RetryLetterBody), self.letter(id)
        task = dead_letters.retry(
            self.app, letter, by=self.caller.actor, new_input=body.get("input"), reason=body["reason"]
        )
        return Response(as_json(task), status=202)


class DiscardDeadLetter(LetterView):
    @extend_schema(
        operation_id="discard_dead_letter",
        summary="Close a dead letter; its task stays failed",
        request=ReasonBody,
        responses={200: DeadLetterForOperators},
    )
    def post(self, request: Request, id: int) -> Response:
        dead_letters.discard(self.app, self.letter(id), **self.who_and_why())
        return Response(self.shape(self.whole(DeadLetter.objects.filter(pk=id)).get()).data)


class BulkDeadLetters(AppView):
    @extend_schema(
        operation_id="resolve_dead_letters",
        summary="Retry or discard many dead letters",
        description="Touches exactly the open letters that match now, or those that are named. The workers carry it "
        "out; the operation tells how far it is.",
        request=BulkBody,
        responses={202: OperationOut},
    )
    def post(self, request: Request) -> Response:
        body = self.body(BulkBody)
        asked = operations.Request(
            body["action"],
            _filter(body),
            new_input=body.get("input"),
            reason=body["reason"],
            canary=body["canary"],
            everything=body["all"],
        )
        expected = Shown(body["count"]) if "count" in body else None
        operation = operations.start(self.app, asked, by=self.caller.actor, expected=expected)
        return Response(OperationOut(operation).data, status=202)


class OneOperation(AppView):
    @extend_schema(
        operation_id="get_operation",
        summary="A bulk operation and how far it is",
        responses=OperationOut,
    )
    def get(self, request: Request, id: UUID) -> Response:
        return Response(OperationOut(get_object_or_404(Operation, pk=id)).data)


class OperationItems(AppView):
    @extend_schema(
        operation_id="list_operation_items",
        summary="What became of each dead letter of an operation",
        parameters=[ItemQuery],
        responses=listed(ItemOut),
    )
    def get(self, request: Request, id: UUID) -> Response:
        query = self.query(ItemQuery)
        items = OperationItem.objects.filter(operation=get_object_or_404(Operation, pk=id))
        if outcome := query.get("outcome"):
            items = items.filter(outcome=outcome)
        return page(request, items.select_related("dead_letter"), _OLDEST_FIRST, query).answer(ItemOut)


class StopOperation(AppView):
    @extend_schema(
        operation_id="stop_operation",
        summary="Stop a bulk operation",
        description="What it has done stays done; once this has answered it does nothing more.",
        request=ReasonBody,
        responses={200: OperationOut},
    )
    def post(self, request: Request, id: UUID) -> Response:
        operation = get_object_or_404(Operation, pk=id)
        operations.stop(self.app, operation, **self.who_and_why())
        return Response(OperationOut(operation).data)
