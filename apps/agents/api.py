"""`/agents`, and `/schema`: what an App's document may say."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from django.http import Http404
from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_serializer, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.config.schema import json_schema
from apps.agents.models import Agent
from apps.queue import holds
from apps.queue.api import HoldOut, PauseOut, paused
from apps.queue.holds import Effect
from apps.queue.models import Hold
from apps.tenancy.connection import connection
from apps.tenancy.http.authentication import BearerAuthentication, ConsoleSession
from apps.tenancy.http.fields import ReasonBody
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import Order, PageQuery, page
from apps.tenancy.http.views import ApiView, AppView
from apps.tenancy.models import App


@extend_schema_serializer(component_name="Agent")
class AgentOut(serializers.Serializer[Agent]):
    name = serializers.CharField()
    description = serializers.CharField()
    type = serializers.CharField()
    tools = serializers.ListField(child=serializers.CharField(), help_text="Names of the tools that it may call.")
    version = serializers.CharField(help_text="Changes with whatever the agent is made of.")
    paused = HoldOut(allow_null=True, help_text="By itself or with the whole App; null: it is not.")

    def to_representation(self, agent: Agent) -> dict[str, Any]:
        return {
            "name": agent.name,
            "description": agent.description,
            "type": agent.type,
            "tools": list(agent.version.spec.get("tools", {})),
            "version": agent.version.digest,
            "paused": HoldOut(hold).data if (hold := self._hold(agent)) else None,
        }

    def _hold(self, agent: Agent) -> Hold | None:
        """Of the App or of the agent; read once for a whole list."""
        if not hasattr(self, "_holds"):
            app = connection.tenant
            assert isinstance(app, App)
            self._holds = holds.by_lane(app)
        return self._holds.get("") or self._holds.get(agent.name)


def _name(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    return text


_BY_NAME = Order("name", _name, newest_first=False)


class Agents(AppView):
    @extend_schema(
        operation_id="list_agents",
        summary="The App's agents, by name",
        parameters=[PageQuery],
        responses=listed(AgentOut),
    )
    def get(self, request: Request) -> Response:
        shown = page(request, Agent.objects.select_related("version"), _BY_NAME, self.query(PageQuery))
        return shown.answer(AgentOut)


class OneAgent(AppView):
    @extend_schema(operation_id="get_agent", summary="An agent", responses=AgentOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(AgentOut(get_object_or_404(Agent.objects.select_related("version"), name=name)).data)


class _AgentVerb(AppView):
    verb: Callable[..., Effect]

    def post(self, request: Request, name: str) -> Response:
        # An agent that there is, or that was paused before the configuration lost it.
        if not Agent.objects.filter(name=name).exists() and holds.of(self.app, name) is None:
            raise Http404
        return paused(self.app, name, self.verb(self.app, name, **self.who_and_why()))


@extend_schema_view(
    post=extend_schema(
        operation_id="pause_agent",
        summary="Start no task of an agent any more",
        description="What runs goes on to its end. Tasks are still accepted; they wait.",
        request=ReasonBody,
        responses=PauseOut,
    )
)
class PauseAgent(_AgentVerb):
    verb = staticmethod(holds.hold)


@extend_schema_view(
    post=extend_schema(
        operation_id="resume_agent",
        summary="Let an agent's tasks start again",
        description="While the whole App is paused they go on waiting.",
        request=ReasonBody,
        responses=PauseOut,
    )
)
class ResumeAgent(_AgentVerb):
    verb = staticmethod(holds.lift)


@cache
def _schema() -> dict[str, Any]:
    return json_schema()


class Schema(ApiView):
    authentication_classes = [BearerAuthentication, ConsoleSession]

    @extend_schema(
        operation_id="get_config_schema",
        summary="The JSON Schema of an App's document, for editors",
        responses={200: {"type": "object", "additionalProperties": True}},
    )
    def get(self, request: Request) -> Response:
        return Response(_schema())


urlpatterns = [
    path("agents", Agents.as_view(), name="agents"),
    path("agents/<slug:name>", OneAgent.as_view(), name="agent"),
    path("agents/<slug:name>/pause", PauseAgent.as_view(), name="agent-pause"),
    path("agents/<slug:name>/resume", ResumeAgent.as_view(), name="agent-resume"),
    path("schema", Schema.as_view(), name="schema"),
]
