"""`/webhooks/…` and `/webhook-deliveries`: the address itself, and the log of what came."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.tenancy.http.fields import ReasonBody
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_UUID, PageQuery, page
from apps.tenancy.http.views import AppView
from apps.triggers.models import WebhookDelivery
from apps.triggers.webhooks import receiving
from apps.triggers.webhooks.views import Webhook

_OBJECT = extend_schema_field({"type": "object", "additionalProperties": True})(serializers.JSONField)


@extend_schema_serializer(component_name="WebhookDelivery")
class WebhookDeliveryOut(serializers.ModelSerializer[WebhookDelivery]):
    entry_point = serializers.CharField(source="entry_point.name")
    path = serializers.CharField(help_text="Behind `/webhooks/APP`.")
    size = serializers.IntegerField(help_text="Bytes of the body.")
    reason = serializers.CharField(help_text="Why there is no task; else empty.")
    repeats = serializers.IntegerField(help_text="How often the same has come again.")
    repeated_at = serializers.DateTimeField(allow_null=True, help_text="For the last time.")
    redelivery_of = serializers.UUIDField(allow_null=True, help_text="The delivery that was handed over once more.")
    by = serializers.CharField(help_text="Who did that.")

    class Meta:
        model = WebhookDelivery
        fields = [
            "id", "entry_point", "received_at", "method", "path", "size", "verdict", "reason", "task", "repeats",
            "repeated_at", "redelivery_of", "by",
        ]  # fmt: skip
        read_only_fields = fields


@extend_schema_serializer(component_name="WholeWebhookDelivery")
class OneWebhookDeliveryOut(WebhookDeliveryOut):
    headers = _OBJECT(help_text="Without credentials.")
    query = _OBJECT(help_text="Without credentials.")
    body = serializers.SerializerMethodField(help_text="As text; null: not kept, or hidden.")

    class Meta(WebhookDeliveryOut.Meta):
        fields = [*WebhookDeliveryOut.Meta.fields, "content_type", "headers", "query", "body"]
        read_only_fields = fields

    @extend_schema_field({"type": ["string", "null"]})
    def get_body(self, delivery: WebhookDelivery) -> str | None:
        return delivery.text


class WebhookDeliveryQuery(PageQuery):
    entry_point = serializers.CharField(max_length=64, required=False)
    verdict = serializers.ChoiceField(choices=WebhookDelivery.Verdict.choices, required=False)
    task = serializers.UUIDField(required=False)


def deliveries() -> Any:
    return WebhookDelivery.objects.select_related("entry_point")


class WebhookDeliveries(AppView):
    @extend_schema(
        operation_id="list_webhook_deliveries",
        summary="What came for webhooks, the newest first",
        parameters=[WebhookDeliveryQuery],
        responses=listed(WebhookDeliveryOut),
    )
    def get(self, request: Request) -> Response:
        query = self.query(WebhookDeliveryQuery)
        fields = {"entry_point": "entry_point__name", "verdict": "verdict", "task": "task"}
        wanted = {field: query[name] for name, field in fields.items() if query.get(name)}
        rows = deliveries().filter(**wanted).defer("body", "headers", "query")
        return page(request, rows, BY_UUID, query).answer(WebhookDeliveryOut)


class OneWebhookDelivery(AppView):
    @extend_schema(
        operation_id="get_webhook_delivery", summary="What came, with all that it held", responses=OneWebhookDeliveryOut
    )
    def get(self, request: Request, id: UUID) -> Response:
        return Response(OneWebhookDeliveryOut(get_object_or_404(deliveries(), pk=id)).data)


class RedeliverWebhook(AppView):
    @extend_schema(
        operation_id="redeliver_webhook",
        summary="Hand over once more what has come",
        description="By the configuration as it is now. What nobody has signed cannot be handed over: 409.",
        request=ReasonBody,
        responses={202: WebhookDeliveryOut},
    )
    def post(self, request: Request, id: UUID) -> Response:
        delivery = get_object_or_404(deliveries(), pk=id)
        again = receiving.redeliver(self.app, delivery, **self.who_and_why())
        return Response(WebhookDeliveryOut(deliveries().get(pk=again.pk)).data, status=202)


urlpatterns = [
    path("webhooks/<slug:app>/<path:path>", Webhook.as_view(), name="webhook"),
    path("webhook-deliveries", WebhookDeliveries.as_view(), name="webhook-deliveries"),
    path("webhook-deliveries/<uuid:id>", OneWebhookDelivery.as_view(), name="webhook-delivery"),
    path("webhook-deliveries/<uuid:id>/redeliver", RedeliverWebhook.as_view(), name="webhook-redeliver"),
]
