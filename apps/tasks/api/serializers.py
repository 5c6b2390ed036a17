"""What goes in and out of `/tasks`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.tasks.models import Attempt, Checkpoint, Event, Task, TaskStatus
from apps.tenancy.http.fields import Body, Instant, Mapped, Number, Several, Text, WholeNumber
from apps.tenancy.http.pagination import PageQuery

_ANY_JSON = {"description": "Any JSON value."}
_DAYS_30 = 30 * 24 * 3600.0


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "object", "additionalProperties": True}]})
class TaskInput(serializers.JSONField):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str | dict):
            raise serializers.ValidationError("Must be text or a JSON object.")
        return data


@extend_schema_serializer(component_name="NewTask")
class NewTaskBody(Body):
    agent = Text(max_length=100, help_text="The agent's name.")
    input = TaskInput(help_text="Text, or an object that fits the agent's input schema.")
    session = Text(max_length=200, required=False, default="", allow_blank=True, allow_null=True)
    priority = WholeNumber(
        min_value=-100, max_value=100, required=False, default=0, help_text="The higher, the sooner."
    )
    run_at = Instant(required=False, allow_null=True, help_text="Not before this time.")
    timeout_seconds = Number(
        min_value=0.001,
        max_value=_DAYS_30,
        required=False,
        allow_null=True,
        help_text="The longest one attempt may run.",
    )
    deadline = Instant(required=False, allow_null=True, help_text="The task fails if it has not ended by then.")
    max_retries = WholeNumber(
        min_value=0, max_value=1000, required=False, allow_null=True, help_text="Attempts after the first one."
    )
    tags = serializers.ListField(child=Text(max_length=100), max_length=50, required=False, default=list)
    metadata = Mapped(required=False, default=dict, help_text="Kept with the task; means nothing to Hector.")


@extend_schema_serializer(component_name="CancelRequest")
class CancelBody(Body):
    reason = Text(max_length=1000, required=False, default="", allow_blank=True)


@extend_schema_serializer(component_name="RetryRequest")
class RetryBody(Body):
    input = TaskInput(required=False, help_text="Runs from the beginning with another input.")
    from_checkpoint = WholeNumber(
        min_value=1,
        required=False,
        help_text="Not available in this version: a retry goes on from the last checkpoint.",
    )
    reason = Text(max_length=1000, required=False, default="", allow_blank=True)

    def validate_from_checkpoint(self, value: int) -> int:
        raise serializers.ValidationError(
            "Not available in this version of Hector; leave it out to go on from the last checkpoint."
        )


class TaskQuery(PageQuery):
    status = Several(
        choices=TaskStatus.choices, required=False, allow_empty=False, help_text="May be given several times."
    )
    agent = serializers.CharField(max_length=100, required=False)
    session = serializers.CharField(max_length=200, required=False)
    tag = serializers.CharField(max_length=100, required=False, trim_whitespace=False)
    entry_point = serializers.CharField(max_length=100, required=False)
    created_after = Instant(required=False)
    created_before = Instant(required=False)
    q = serializers.CharField(
        max_length=200,
        required=False,
        help_text="In the input or the output, or the whole id; looks at the newest 10,000 tasks that fit the rest.",
    )


@extend_schema_serializer(component_name="Usage")
class UsageOut(serializers.Serializer[Any]):
    requests = serializers.IntegerField(default=0)
    input_tokens = serializers.IntegerField(default=0)
    output_tokens = serializers.IntegerField(default=0)
    cost_usd = serializers.CharField(default="0", help_text="A decimal number.")


@extend_schema_serializer(component_name="Error")
class ErrorOut(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()
    retryable = serializers.BooleanField()


@extend_schema_serializer(component_name="Task")
class TaskOut(serializers.ModelSerializer[Task]):
    agent_version = serializers.CharField(source="agent_version.digest", help_text="The version that the task pins.")
    session = serializers.SerializerMethodField()
    input = extend_schema_field({"type": "object", "additionalProperties": True})(serializers.JSONField)()
    output = extend_schema_field(_ANY_JSON)(serializers.JSONField)(allow_null=True)
    error = ErrorOut(allow_null=True)
    tags = serializers.ListField(child=serializers.CharField())
    metadata = extend_schema_field({"type": "object", "additionalProperties": True})(serializers.JSONField)()
    usage = UsageOut()
    approvals = serializers.SerializerMethodField()

    class Meta:
        model = Task
        fields = [
            "id", "agent", "agent_version", "session", "entry_point", "status", "input", "output", "error", "priority",
            "tags", "metadata", "attempt", "max_retries", "next_attempt_at", "deadline", "usage", "approvals",
            "created_at", "started_at", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_session(self, task: Task) -> str | None:
        return task.session or None

    @extend_schema_field({"type": "array", "items": {"type": "object"}})
    def get_approvals(self, task: Task) -> list[Any]:
        return []


@extend_schema_serializer(component_name="Event")
class EventOut(serializers.ModelSerializer[Event]):
    payload = extend_schema_field({"type": "object", "additionalProperties": True})(serializers.JSONField)()
    actor = serializers.CharField(help_text="Who did it; empty: Hector itself.")

    class Meta:
        model = Event
        fields = ["seq", "type", "payload", "actor", "at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="Checkpoint")
class CheckpointOut(serializers.ModelSerializer[Checkpoint]):
    value = extend_schema_field(_ANY_JSON)(serializers.JSONField)()

    class Meta:
        model = Checkpoint
        fields = ["seq", "kind", "key", "value", "created_at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="AttemptOfApp")
class AttemptOut(serializers.ModelSerializer[Attempt]):
    error = ErrorOut(allow_null=True)

    class Meta:
        model = Attempt
        fields = ["number", "outcome", "error", "worker", "started_at", "finished_at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="Attempt")
class AttemptForOperators(AttemptOut):
    traceback = serializers.CharField(required=False, help_text="For the operator of the installation only.")

    class Meta(AttemptOut.Meta):
        fields = [*AttemptOut.Meta.fields, "traceback"]
