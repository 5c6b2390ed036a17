"""`/grants`: what runs without asking, because somebody has allowed it. The rules are in `apps.approvals.grants`."""

from __future__ import annotations

from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.approvals import grants
from apps.approvals.errors import GrantEnded
from apps.approvals.models import Grant
from apps.tenancy.http.fields import ReasonBody
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_UUID, PageQuery, page
from apps.tenancy.http.problems import declare
from apps.tenancy.http.views import AppView

declare(GrantEnded, 409)


@extend_schema_serializer(component_name="Grant")
class GrantOut(serializers.ModelSerializer[Grant]):
    task = serializers.UUIDField(source="task_id", allow_null=True, help_text="The only task that it is for.")
    until = serializers.DateTimeField(allow_null=True, help_text="For all tasks of the agent, until then.")
    approval = serializers.UUIDField(source="approval_id", allow_null=True, help_text="The one that it was given with.")
    given_by = serializers.ListField(child=serializers.CharField())
    uses = serializers.IntegerField(help_text="How many calls have run under it.")

    class Meta:
        model = Grant
        fields = [
            "id", "agent", "tool", "task", "until", "approval", "given_by", "given_at", "uses", "revoked_at",
            "revoked_by", "reason",
        ]  # fmt: skip
        read_only_fields = fields


class GrantQuery(PageQuery):
    in_force = serializers.BooleanField(required=False, default=False, help_text="Only those that could cover a call.")


class Grants(AppView):
    @extend_schema(
        operation_id="list_grants",
        summary="What runs without asking, or did, the newest first",
        parameters=[GrantQuery],
        responses=listed(GrantOut),
    )
    def get(self, request: Request) -> Response:
        query = self.query(GrantQuery)
        rows = grants.in_force() if query["in_force"] else Grant.objects.all()
        return page(request, rows, BY_UUID, query).answer(GrantOut)


class Revoke(AppView):
    @extend_schema(
        operation_id="revoke_grant",
        summary="Revoke a grant",
        description="Calls that have begun go on. Not in force any more: 409.",
        parameters=[OpenApiParameter("id", UUID, OpenApiParameter.PATH)],
        request=ReasonBody,
        responses=GrantOut,
    )
    def post(self, request: Request, id: UUID) -> Response:
        grant = get_object_or_404(Grant, pk=id)
        body = self.body(ReasonBody)
        return Response(GrantOut(grants.revoke(grant, by=self.caller, **body)).data)


urlpatterns = [
    path("grants", Grants.as_view(), name="grants"),
    path("grants/<uuid:id>/revoke", Revoke.as_view(), name="grant-revoke"),
]
