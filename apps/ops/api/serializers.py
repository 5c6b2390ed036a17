"""What goes in and out of `/admin/apps`."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.agents.config import apply
from apps.agents.models import Revision
from apps.quotas import rules
from apps.quotas.api import LimitsBody
from apps.tasks import retention
from apps.tenancy.http.fields import Body, Duration, OptionalText, Reason, Text, WholeNumber
from apps.tenancy.models import App, Secret

_DOCUMENT = {"type": "object", "additionalProperties": True, "description": "As `GET /schema` describes it."}
_TEXT_OR_DOCUMENT = {"oneOf": [_DOCUMENT, {"type": "string", "description": "The document as YAML text."}]}
_MOST = 2**31 - 1
_AT_ONCE = "How many of its tasks run at a time; null: any number."


@extend_schema_field(_TEXT_OR_DOCUMENT)
class Config(serializers.JSONField):
    """A document, or its YAML text; `apps.agents.config` says whether it is right."""


@extend_schema_serializer(component_name="NewApp")
class NewAppBody(Body):
    name = Text(max_length=100, help_text="Lower-case letters, digits and hyphens, a letter first, at most 48.")
    display_name = OptionalText(max_length=200)
    config = Config(required=False, allow_null=True)
    weight = WholeNumber(min_value=1, max_value=1000, required=False, default=1, help_text="Its share of the workers.")
    max_concurrent = WholeNumber(
        min_value=1, max_value=_MOST, required=False, allow_null=True, default=None, help_text=_AT_ONCE
    )
    limits = LimitsBody(required=False)


@extend_schema_serializer(component_name="RetentionSettings")
class RetentionBody(Body):
    """What is left out stays as it is; null gives it back to the installation."""

    tasks = Duration(required=False, allow_null=True, help_text="After a task's end. 0: without end.")
    tasks_max = WholeNumber(
        min_value=0, max_value=_MOST, required=False, allow_null=True, help_text="Ended tasks. 0: any number."
    )
    dead_letters = Duration(required=False, allow_null=True, help_text="After one was resolved. 0: without end.")
    notifications = Duration(
        required=False, allow_null=True, help_text="After one has arrived or was given up. 0: without end."
    )


@extend_schema_serializer(component_name="Retention")
class RetentionOut(serializers.Serializer[Any]):
    tasks = serializers.CharField(help_text="How long a task is kept after its end.")
    tasks_max = serializers.IntegerField(help_text="How many ended tasks are kept.")
    dead_letters = serializers.CharField(help_text="How long a dead letter, and its task, is kept once it is resolved.")
    notifications = serializers.CharField(help_text="How long the log of notifications is kept.")
    own = serializers.ListField(child=serializers.CharField(), help_text="Those that are not the installation's.")


@extend_schema_serializer(component_name="AppSettings")
class AppPatchBody(Body):
    display_name = Text(max_length=200, required=False, allow_blank=True)
    weight = WholeNumber(min_value=1, max_value=1000, required=False)
    max_concurrent = WholeNumber(min_value=1, max_value=_MOST, required=False, allow_null=True, help_text=_AT_ONCE)
    status = serializers.ChoiceField(choices=["active", "suspended"], required=False)
    reason = Reason()
    retention = RetentionBody(required=False)
    limits = LimitsBody(required=False)


@extend_schema_serializer(component_name="Config")
class ConfigBody(Body):
    config = Config()
    comment = OptionalText(max_length=1000)
    expected_revision = WholeNumber(
        min_value=0, max_value=_MOST, required=False, help_text="The revision that you saw; 409 if another came since."
    )


@extend_schema_serializer(component_name="SecretValue")
class SecretBody(Body):
    value = Text(max_length=65536, help_text="Kept encrypted, and never shown again.")


@extend_schema_serializer(component_name="App")
class AppOut(serializers.ModelSerializer[App]):
    config = serializers.SerializerMethodField()
    revision = serializers.SerializerMethodField(help_text="Of the configuration; 0: it has none yet.")
    retention = serializers.SerializerMethodField(help_text="0s, or 0: without end.")
    limits = serializers.SerializerMethodField(help_text="Only resources that have any.")

    class Meta:
        model = App
        fields = [
            "name", "display_name", "status", "weight", "max_concurrent", "config", "revision", "retention", "limits",
            "created_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(_DOCUMENT)
    def get_config(self, app: App) -> dict[str, Any]:
        revision = self._revision(app)
        return dict(revision.document) if revision else {}

    @extend_schema_field(RetentionOut)
    def get_retention(self, app: App) -> dict[str, Any]:
        return retention.as_json(retention.policy_of(app), app.retention)

    @extend_schema_field(LimitsBody)
    def get_limits(self, app: App) -> dict[str, Any]:
        return rules.as_json(app.limits)

    def get_revision(self, app: App) -> int:
        revision = self._revision(app)
        return revision.number if revision else 0

    def _revision(self, app: App) -> Revision | None:
        if app.status == App.Status.DELETING:
            return None  # its schema may be gone
        seen: dict[int, Revision | None] = self.__dict__.setdefault("_revisions", {})
        if app.pk not in seen:
            seen[app.pk] = apply.current(app)
        return seen[app.pk]


@extend_schema_serializer(component_name="DeletedApp")
class DeletedAppOut(serializers.Serializer[Any]):
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=["deleting", "deleted"])


@extend_schema_serializer(component_name="CreatedApp")
class NewAppOut(serializers.Serializer[Any]):
    app = AppOut()
    access_token = serializers.CharField(help_text="Acts as an admin of the App.")
    token_type = serializers.CharField()


@extend_schema_serializer(component_name="Revision")
class RevisionOut(serializers.ModelSerializer[Revision]):
    config = extend_schema_field(_DOCUMENT)(serializers.JSONField)(source="document")

    class Meta:
        model = Revision
        fields = ["number", "author", "comment", "created_at", "config"]
        read_only_fields = fields


@extend_schema_serializer(component_name="Secret")
class SecretOut(serializers.ModelSerializer[Secret]):
    class Meta:
        model = Secret
        fields = ["name", "updated_at"]
        read_only_fields = fields
