"""`/notifications`: the channels, the log of messages, and what operators do with them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.tenancy.http.fields import Body, Instant, Reason, ReasonBody
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_UUID, Order, PageQuery, page
from apps.tenancy.http.problems import declare
from apps.tenancy.http.views import AppView
from apps.triggers.errors import NotificationRefused
from apps.triggers.models import Channel, Delivery, DeliveryAttempt
from apps.triggers.notifications import deliveries, lifecycle

declare(NotificationRefused, 409)

_OBJECT = extend_schema_field({"type": "object", "additionalProperties": True})(serializers.JSONField)
_BY_NAME = Order("name", str, newest_first=False)


@extend_schema_serializer(component_name="Channel")
class ChannelOut(serializers.ModelSerializer[Channel]):
    target = serializers.CharField(help_text="Where messages go, as the document says it.")
    events = serializers.ListField(child=serializers.CharField())
    agents = serializers.ListField(child=serializers.CharField(), help_text="Only of these; empty: of all.")
    include_payload = serializers.BooleanField()
    state = serializers.ChoiceField(choices=Channel.State.choices)
    disabled_because = serializers.CharField(help_text="Why it was switched off; empty: it was not.")
    failing_since = serializers.DateTimeField(
        allow_null=True, help_text="The first failed attempt after the last message that arrived."
    )
    delivered_at = serializers.DateTimeField(allow_null=True, help_text="When the last message arrived.")

    class Meta:
        model = Channel
        fields = [
            "name", "type", "target", "events", "agents", "include_payload", "state", "disabled_at",
            "disabled_because", "failing_since", "delivered_at",
        ]  # fmt: skip
        read_only_fields = fields

    def to_representation(self, channel: Channel) -> dict[str, Any]:
        spec = lifecycle.spec_of(channel)
        vars(channel).update(  # read by the fields above
            target=spec.target, events=spec.events, agents=spec.agents, include_payload=spec.include_payload
        )
        return super().to_representation(channel)


@extend_schema_serializer(component_name="DeliveryAttempt")
class AttemptOut(serializers.ModelSerializer[DeliveryAttempt]):
    status = serializers.IntegerField(allow_null=True, help_text="Of HTTP, if there was an answer.")
    answer = serializers.CharField(help_text="Its beginning.")
    error = serializers.CharField(help_text="Empty: the message has arrived.")

    class Meta:
        model = DeliveryAttempt
        fields = ["number", "at", "seconds", "status", "answer", "error"]
        read_only_fields = fields


@extend_schema_serializer(component_name="Delivery")
class DeliveryOut(serializers.ModelSerializer[Delivery]):
    id = serializers.UUIDField(help_text="Of the message, the same in every attempt: `webhook-id`.")
    type = serializers.CharField(help_text="Of the event; `test` for a test.")
    error = serializers.CharField(help_text="Why it has not arrived.")

    class Meta:
        model = Delivery
        fields = [
            "id", "channel", "type", "task", "status", "attempts", "next_attempt_at", "error", "created_at",
            "finished_at",
        ]  # fmt: skip
        read_only_fields = fields


@extend_schema_serializer(component_name="DeliveryWithLog")
class OneDeliveryOut(DeliveryOut):
    message = _OBJECT(help_text="What is sent.")
    log = AttemptOut(many=True, help_text="Every attempt, the first one first.")

    class Meta(DeliveryOut.Meta):
        fields = [*DeliveryOut.Meta.fields, "message", "log"]
        read_only_fields = fields


class DeliveryQuery(PageQuery):
    channel = serializers.CharField(max_length=80, required=False)
    status = serializers.ChoiceField(choices=Delivery.Status.choices, required=False)
    type = serializers.CharField(max_length=32, required=False)
    task = serializers.UUIDField(required=False)


@extend_schema_serializer(component_name="RedeliverRequest")
class RedeliverBody(Body):
    since = Instant(help_text="What has failed at this time or later.")
    reason = Reason()


@extend_schema_serializer(component_name="Redelivered")
class RedeliveredOut(serializers.Serializer[Any]):
    total = serializers.IntegerField(help_text="How many messages are sent again.")


class Channels(AppView):
    @extend_schema(
        operation_id="list_notifications",
        summary="The App's notification channels and how they are doing, by name",
        parameters=[PageQuery],
        responses=listed(ChannelOut),
    )
    def get(self, request: Request) -> Response:
        return page(request, Channel.objects.all(), _BY_NAME, self.query(PageQuery)).answer(ChannelOut)


class Deliveries(AppView):
    @extend_schema(
        operation_id="list_deliveries",
        summary="Messages, the newest first",
        parameters=[DeliveryQuery],
        responses=listed(DeliveryOut),
    )
    def get(self, request: Request) -> Response:
        query = self.query(DeliveryQuery)
        wanted = {name: query[name] for name in ("channel", "status", "type", "task") if query.get(name)}
        return page(request, Delivery.objects.filter(**wanted), BY_UUID, query).answer(DeliveryOut)


class OneDelivery(AppView):
    @extend_schema(operation_id="get_delivery", summary="A message with its attempts", responses=OneDeliveryOut)
    def get(self, request: Request, id: UUID) -> Response:
        return Response(OneDeliveryOut(get_object_or_404(Delivery, pk=id)).data)


class Redeliver(AppView):
    @extend_schema(
        operation_id="redeliver",
        summary="Send a message once more",
        description="With the same id, whether it has arrived or not. On its way already: 409.",
        request=ReasonBody,
        responses={202: DeliveryOut},
    )
    def post(self, request: Request, id: UUID) -> Response:
        delivery = get_object_or_404(Delivery, pk=id)
        return Response(DeliveryOut(deliveries.redeliver(self.app, delivery, **self.who_and_why())).data, status=202)


class _ChannelView(AppView):
    def channel(self, name: str) -> Channel:
        """Raises Http404."""
        return get_object_or_404(Channel, name=name)


class RedeliverFailed(_ChannelView):
    @extend_schema(
        operation_id="redeliver_failed",
        summary="Send once more what has failed",
        description="Every message of the channel that has failed since a time.",
        request=RedeliverBody,
        responses={202: RedeliveredOut},
    )
    def post(self, request: Request, name: str) -> Response:
        channel, body = self.channel(name), self.body(RedeliverBody)
        total = deliveries.redeliver_failed(self.app, channel, by=self.caller.actor, **body)
        return Response(RedeliveredOut({"total": total}).data, status=202)


class Enable(_ChannelView):
    @extend_schema(
        operation_id="enable_notification",
        summary="Switch a channel on again that was switched off after repeated failure",
        description="It was not: 409. What failed is not sent by that: redeliver it.",
        request=ReasonBody,
        responses=ChannelOut,
    )
    def post(self, request: Request, name: str) -> Response:
        return Response(ChannelOut(lifecycle.enable(self.app, self.channel(name), **self.who_and_why())).data)


class Test(_ChannelView):
    @extend_schema(
        operation_id="test_notification",
        summary="Send a test",
        description="One message of the type `test`, attempted once. The delivery tells what came back.",
        request=ReasonBody,
        responses={202: DeliveryOut},
    )
    def post(self, request: Request, name: str) -> Response:
        delivery = deliveries.send_test(self.app, self.channel(name), **self.who_and_why())
        return Response(DeliveryOut(delivery).data, status=202)


urlpatterns = [
    path("notifications", Channels.as_view(), name="notifications"),
    path("notifications/deliveries", Deliveries.as_view(), name="deliveries"),
    path("notifications/deliveries/<uuid:id>", OneDelivery.as_view(), name="delivery"),
    path("notifications/deliveries/<uuid:id>/redeliver", Redeliver.as_view(), name="delivery-redeliver"),
    path("notifications/<slug:name>/redeliver", RedeliverFailed.as_view(), name="notification-redeliver"),
    path("notifications/<slug:name>/enable", Enable.as_view(), name="notification-enable"),
    path("notifications/<slug:name>/test", Test.as_view(), name="notification-test"),
]
