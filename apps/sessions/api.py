"""`/sessions`: what agents' tasks have in common. The rules are in `apps.sessions.store`."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.sessions import store
from apps.sessions.errors import SessionBusy
from apps.sessions.models import Session, Turn
from apps.tasks.api.serializers import VALUE_SHOWN
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import BY_UUID, Order, PageQuery, page, whole_number
from apps.tenancy.http.problems import declare
from apps.tenancy.http.views import AppView

declare(SessionBusy, 409)

_OLDEST_FIRST = Order("seq", whole_number, newest_first=False)
_ID = OpenApiParameter("id", UUID, OpenApiParameter.PATH)


@extend_schema_serializer(component_name="Session")
class SessionOut(serializers.ModelSerializer[Session]):
    session = serializers.CharField(source="name", help_text="As tasks name it.")
    turns = serializers.IntegerField(source="turns_total", help_text="Tasks that have added to the conversation.")
    state_bytes = serializers.IntegerField(source="size", help_text="Of the state, as JSON.")
    revision = serializers.IntegerField(help_text="How many changes of the state there were.")

    class Meta:
        model = Session
        fields = ["id", "agent", "session", "turns", "state_bytes", "revision", "created_at", "updated_at"]
        read_only_fields = fields


@extend_schema_serializer(component_name="WholeSession")
class WholeSessionOut(SessionOut):
    state = serializers.SerializerMethodField()

    class Meta(SessionOut.Meta):
        fields = [*SessionOut.Meta.fields, "state"]
        read_only_fields = fields

    @extend_schema_field({"type": "object", "additionalProperties": True})
    def get_state(self, session: Session) -> Any:
        return store.values(session)


@extend_schema_serializer(component_name="Turn")
class TurnOut(serializers.ModelSerializer[Turn]):
    task = serializers.UUIDField(help_text="The task that has added it, which may have been pruned since.")
    messages = serializers.SerializerMethodField(
        help_text=f"As the task's checkpoints have them; null: in a list, more than {VALUE_SHOWN:,} bytes are left out."
    )
    size = serializers.IntegerField(help_text="Bytes of the messages, as JSON.")

    class Meta:
        model = Turn
        fields = ["seq", "task", "messages", "size", "created_at"]
        read_only_fields = fields

    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}, "nullable": True})
    def get_messages(self, turn: Turn) -> Any:
        return None if turn.size > VALUE_SHOWN else turn.content


@extend_schema_serializer(component_name="WholeTurn")
class WholeTurnOut(TurnOut):
    @extend_schema_field({"type": "array", "items": {"type": "object", "additionalProperties": True}})
    def get_messages(self, turn: Turn) -> Any:
        return turn.content


class SessionQuery(PageQuery):
    agent = serializers.CharField(max_length=100, required=False)
    session = serializers.CharField(max_length=200, required=False, trim_whitespace=False)


class Sessions(AppView):
    @extend_schema(
        operation_id="list_sessions",
        summary="Sessions, the newest first",
        parameters=[SessionQuery],
        responses=listed(SessionOut),
    )
    def get(self, request: Request) -> Response:
        query = self.query(SessionQuery)
        columns = {"agent": "agent", "session": "name"}
        wanted = {column: query[name] for name, column in columns.items() if name in query}
        rows = Session.objects.filter(**wanted).defer("value", "packed", "marks")
        return page(request, rows, BY_UUID, query).answer(SessionOut)


class OneSession(AppView):
    @extend_schema(
        operation_id="get_session", summary="A session with its state", parameters=[_ID], responses=WholeSessionOut
    )
    def get(self, request: Request, id: UUID) -> Response:
        return Response(WholeSessionOut(get_object_or_404(Session, pk=id)).data)

    @extend_schema(
        operation_id="delete_session",
        summary="Delete a session, its conversation and its state",
        description="The tasks themselves stay. While some of them have not ended: 409.",
        parameters=[_ID],
        responses={204: None},
    )
    def delete(self, request: Request, id: UUID) -> Response:
        store.delete(get_object_or_404(Session, pk=id), by=self.caller.actor)
        return Response(status=204)


class Turns(AppView):
    @extend_schema(
        operation_id="list_session_turns",
        summary="A session's conversation, the oldest turn first",
        description="Whole, whatever part of it tasks begin with.",
        parameters=[_ID, PageQuery],
        responses=listed(TurnOut),
    )
    def get(self, request: Request, id: UUID) -> Response:
        session = get_object_or_404(Session, pk=id)
        return page(request, session.turns.all(), _OLDEST_FIRST, self.query(PageQuery)).answer(TurnOut)


class OneTurn(AppView):
    @extend_schema(
        operation_id="get_session_turn", summary="A turn of a session, whole", parameters=[_ID], responses=WholeTurnOut
    )
    def get(self, request: Request, id: UUID, seq: int) -> Response:
        return Response(WholeTurnOut(get_object_or_404(Turn, session=id, seq=seq)).data)


urlpatterns = [
    path("sessions", Sessions.as_view(), name="sessions"),
    path("sessions/<uuid:id>", OneSession.as_view(), name="session"),
    path("sessions/<uuid:id>/turns", Turns.as_view(), name="session-turns"),
    path("sessions/<uuid:id>/turns/<int:seq>", OneTurn.as_view(), name="session-turn"),
]
