"""What goes in and out of `/tasks`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.tasks.events import is_custom_name, is_type
from apps.tasks.models import Attempt, Checkpoint, Event, Isolation, Task, TaskStatus, UniqueScope
from apps.tenancy.http.fields import (
    Body,
    Instant,
    Mapped,
    Number,
    OptionalText,
    Period,
    Reason,
    Several,
    Text,
    WholeNumber,
)
from apps.tenancy.http.pagination import PageQuery

_ANY_JSON = {"description": "Any JSON value."}
_DAYS_30 = 30 * 24 * 3600.0
_MOST_CHECKPOINTS = 2**31 - 1
VALUE_SHOWN = 65536  # bytes of JSON of a checkpoint that a list shows


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
    session = OptionalText(
        max_length=200, allow_null=True, help_text="What the agent's tasks that name the same one have in common."
    )
    isolation = serializers.ChoiceField(
        choices=Isolation.choices,
        required=False,
        help_text="What the task shares with the others of its session; `shared` if nothing is said.",
    )
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
    unique_key = Text(
        max_length=255,
        required=False,
        allow_null=True,
        help_text="While another task has it, this one is refused: 409, with that one's `Location`.",
    )
    unique_scope = serializers.ChoiceField(
        choices=UniqueScope.choices,
        required=False,
        help_text="How long the task has its key: until it first starts (`pending`), until it has ended (`active`, "
        "where nothing is said), or for `unique_period`.",
    )
    unique_period = Period(required=False, help_text="Seconds, or text such as `30s`, `5m`, `2h`, `1d`.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "isolation" in attrs and not attrs.get("session"):
            raise serializers.ValidationError({"isolation": "Means nothing without a session."})
        scope = attrs.get("unique_scope", UniqueScope.PERIOD if "unique_period" in attrs else UniqueScope.ACTIVE)
        if attrs.get("unique_key") is None:
            lost = [name for name in ("unique_scope", "unique_period") if name in attrs]
            if lost:
                raise serializers.ValidationError(dict.fromkeys(lost, "Means nothing without a unique_key."))
            return attrs
        if (scope == UniqueScope.PERIOD) != ("unique_period" in attrs):
            raise serializers.ValidationError(
                {"unique_period": "Goes with the unique_scope `period`, and only with it."}
            )
        return attrs | {"unique_scope": UniqueScope(scope)}


@extend_schema_serializer(component_name="RetryRequest")
class RetryBody(Body):
    input = TaskInput(required=False, help_text="Runs from the beginning with another input.")
    from_checkpoint = WholeNumber(
        min_value=1,
        max_value=_MOST_CHECKPOINTS,
        required=False,
        help_text="Goes on after this checkpoint as if nothing behind it had happened; with an input too, the "
        "conversation up to there is kept and begins with that input.",
    )
    reason = Reason()


@extend_schema_serializer(component_name="ForkRequest")
class ForkBody(Body):
    from_checkpoint = WholeNumber(
        min_value=1,
        max_value=_MOST_CHECKPOINTS,
        required=False,
        help_text="The fork has the journal up to here; without, it starts from the beginning.",
    )
    input = TaskInput(
        required=False,
        help_text="In place of the task's own; with `from_checkpoint`, the conversation that is kept begins with it.",
    )
    agent_version = serializers.ChoiceField(
        choices=["pinned", "newest"],
        required=False,
        default="pinned",
        help_text="The task's own, or the agent's newest.",
    )
    reason = Reason()


class TaskQuery(PageQuery):
    status = Several(
        choices=TaskStatus.choices, required=False, allow_empty=False, help_text="May be given several times."
    )
    agent = serializers.CharField(max_length=100, required=False)
    session = serializers.CharField(max_length=200, required=False)
    tag = serializers.CharField(max_length=100, required=False, trim_whitespace=False)
    entry_point = serializers.CharField(max_length=100, required=False)
    forked_from = serializers.UUIDField(required=False, help_text="The forks of this task.")
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


@extend_schema_serializer(component_name="OpenApproval")
class OpenApprovalOut(serializers.Serializer[Any]):
    """What a task waits for, as far as its JSON shows it; `GET /approvals` has the whole."""

    id = serializers.UUIDField()
    kind = serializers.CharField(help_text="tool_call, question or in_doubt.")
    tool = serializers.CharField()
    arguments = extend_schema_field(_ANY_JSON)(serializers.JSONField)()
    prompt = serializers.CharField()
    requested_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)


@extend_schema_serializer(component_name="Task")
class TaskOut(serializers.ModelSerializer[Task]):
    agent_version = serializers.CharField(source="agent_version.digest", help_text="The version that the task pins.")
    session = serializers.SerializerMethodField()
    isolation = serializers.SerializerMethodField(help_text="isolated or shared; null without a session.")
    input = extend_schema_field({"type": "object", "additionalProperties": True})(serializers.JSONField)()
    output = extend_schema_field(_ANY_JSON)(serializers.JSONField)(allow_null=True)
    error = ErrorOut(allow_null=True)
    tags = serializers.ListField(child=serializers.CharField())
    metadata = extend_schema_field({"type": "object", "additionalProperties": True})(serializers.JSONField)()
    usage = UsageOut()
    approvals = serializers.SerializerMethodField()
    forked_from = serializers.UUIDField(
        source="forked_from_id", allow_null=True, help_text="The task that this one was forked from, while it is kept."
    )
    forked_at_checkpoint = serializers.IntegerField(
        allow_null=True, help_text="Of that task; null: this one started from the beginning."
    )
    checkpoint_bytes = serializers.IntegerField(help_text="Of all its checkpoints, as JSON.")

    class Meta:
        model = Task
        fields = [
            "id", "agent", "agent_version", "session", "isolation", "entry_point", "status", "input", "output", "error",
            "priority", "tags", "metadata", "attempt", "max_retries", "next_attempt_at", "deadline", "usage",
            "approvals", "created_at", "started_at", "finished_at", "forked_from", "forked_at_checkpoint",
            "checkpoint_bytes", "caused_by",
        ]  # fmt: skip
        read_only_fields = fields

    def get_session(self, task: Task) -> str | None:
        return task.session or None

    def get_isolation(self, task: Task) -> str | None:
        return task.isolation or None

    @extend_schema_field(OpenApprovalOut(many=True))
    def get_approvals(self, task: Task) -> list[Any]:
        if task.status != TaskStatus.INPUT_REQUIRED:
            return []
        approvals: Any = task.approvals  # of apps.approvals, which this app does not know
        waiting = sorted((one for one in approvals.all() if one.status == "open"), key=lambda one: one.pk)
        return list(OpenApprovalOut(waiting, many=True).data)


@extend_schema_serializer(component_name="Event")
class EventOut(serializers.ModelSerializer[Event]):
    payload = extend_schema_field({"type": "object", "additionalProperties": True})(serializers.JSONField)()
    actor = serializers.CharField(help_text="Who did it; empty: Hector itself.")

    class Meta:
        model = Event
        fields = ["seq", "type", "payload", "actor", "at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="AppEvent")
class AppEventOut(EventOut):
    task = serializers.UUIDField(source="task_id", allow_null=True, help_text="The task that it is of; null: of none.")
    agent = serializers.CharField(source="task.agent", default=None, allow_null=True)
    entry_point = serializers.CharField(source="task.entry_point", default=None, allow_null=True)

    class Meta(EventOut.Meta):
        fields = ["id", "task", "agent", "entry_point", *EventOut.Meta.fields]
        read_only_fields = fields


class AppEventQuery(PageQuery):
    type = serializers.ListField(
        child=serializers.CharField(max_length=80),
        required=False,
        default=list,
        max_length=50,
        help_text="May be given several times; `custom.NAME` for the custom events of a name.",
    )
    task = serializers.UUIDField(required=False)
    agent = serializers.CharField(max_length=100, required=False)
    entry_point = serializers.CharField(max_length=100, required=False)

    def validate_type(self, types: list[str]) -> list[str]:
        for type in types:
            if not is_type(type):
                raise serializers.ValidationError(f"There is no event type {type!r}.")
        return types


@extend_schema_serializer(component_name="NewEvent")
class NewEventBody(Body):
    type = Text(max_length=64, help_text="What happened, in a name of your own: small letters, digits, `_`, `-`, `.`.")
    data = Mapped(  # type: ignore[assignment]  # a field, which is no attribute of the class in the end
        required=False, default=dict, help_text="What else there is to say about it."
    )
    task = serializers.UUIDField(
        required=False, allow_null=True, help_text="The task that it is of: it stands in that one's timeline."
    )

    def validate_type(self, name: str) -> str:
        if not is_custom_name(name):
            raise serializers.ValidationError("Write small letters, digits, `_`, `-` and `.`, a letter first.")
        return name


@extend_schema_serializer(component_name="ToolCall")
class ToolCallOut(serializers.Serializer[Any]):
    tool = serializers.CharField()
    call = serializers.CharField(help_text="Its key in the journal.")


@extend_schema_serializer(component_name="SetAside")
class SetAsideOut(serializers.Serializer[Any]):
    model_turns = serializers.IntegerField(help_text="The model is asked again.")
    tool_calls = ToolCallOut(many=True, help_text="Have run; they run again if the model asks for them again.")


@extend_schema_serializer(component_name="Replay")
class ReplayOut(serializers.Serializer[Any]):
    from_checkpoint = serializers.IntegerField(allow_null=True, help_text="The last one kept; null: none is.")
    tool_calls = ToolCallOut(many=True, help_text="Run: asked for, and without a result that is kept.")
    in_doubt = ToolCallOut(many=True, help_text="Asked for and begun, nobody knows how it ended: a person is asked.")
    set_aside = SetAsideOut()
    summary = serializers.CharField(help_text="The same in a sentence.")


@extend_schema_serializer(component_name="TaskAgain")
class TaskAgainOut(TaskOut):
    replay = ReplayOut(help_text="What the task goes on from, and what happens again.")

    class Meta(TaskOut.Meta):
        fields = [*TaskOut.Meta.fields, "replay"]
        read_only_fields = fields


@extend_schema_serializer(component_name="Checkpoint")
class CheckpointOut(serializers.ModelSerializer[Checkpoint]):
    value = serializers.SerializerMethodField(
        method_name="shown_value",
        help_text="In place of the `content` of a tool's return, `content_from` names the checkpoint that has it.",
    )
    size = serializers.IntegerField(help_text="Bytes of the value, as JSON.")
    omitted = serializers.SerializerMethodField(
        help_text=f"In a list, a value of more than {VALUE_SHOWN:,} bytes is left out; the checkpoint by itself has it."
    )
    set_aside = serializers.BooleanField(help_text="The task went on from an earlier one; this is kept as a record.")
    resumable = serializers.BooleanField(help_text="The task can be retried or forked from here.")

    class Meta:
        model = Checkpoint
        fields = ["seq", "kind", "key", "value", "size", "omitted", "set_aside", "resumable", "created_at"]
        read_only_fields = fields

    @extend_schema_field(_ANY_JSON)
    def shown_value(self, point: Checkpoint) -> Any:
        return None if self.get_omitted(point) else point.content

    def get_omitted(self, point: Checkpoint) -> bool:
        return point.size > VALUE_SHOWN


class WholeCheckpointOut(CheckpointOut):
    def get_omitted(self, point: Checkpoint) -> bool:
        return False


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
