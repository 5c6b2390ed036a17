"""`/agents`, and `/schema`: what an App's document may say."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.shortcuts import get_object_or_404
from django.urls import path
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.config.schema import json_schema
from apps.agents.models import Agent
from apps.tenancy.http.authentication import BearerAuthentication, ConsoleSession
from apps.tenancy.http.openapi import APP_PARAMETER, listed
from apps.tenancy.http.pagination import Order, PageQuery, page
from apps.tenancy.http.views import ApiView, AppView


@extend_schema_serializer(component_name="Agent")
class AgentOut(serializers.Serializer[Agent]):
    name = serializers.CharField()
    description = serializers.CharField()
    type = serializers.CharField()
    tools = serializers.ListField(child=serializers.CharField(), help_text="Names of the tools that it may call.")
    version = serializers.CharField(help_text="Changes with whatever the agent is made of.")

    def to_representation(self, agent: Agent) -> dict[str, Any]:
        return {
            "name": agent.name,
            "description": agent.description,
            "type": agent.type,
            "tools": list(agent.version.spec.get("tools", {})),
            "version": agent.version.digest,
        }


def _name(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError(text)
    return text


_BY_NAME = Order("name", _name, newest_first=False)


class Agents(AppView):
    @extend_schema(
        operation_id="list_agents",
        summary="The App's agents, by name",
        parameters=[APP_PARAMETER, PageQuery],
        responses=listed(AgentOut),
    )
    def get(self, request: Request) -> Response:
        shown = page(request, Agent.objects.select_related("version"), _BY_NAME, self.query(PageQuery))
        return shown.answer(AgentOut)


class OneAgent(AppView):
    @extend_schema(operation_id="get_agent", summary="An agent", parameters=[APP_PARAMETER], responses=AgentOut)
    def get(self, request: Request, name: str) -> Response:
        return Response(AgentOut(get_object_or_404(Agent.objects.select_related("version"), name=name)).data)


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
    path("schema", Schema.as_view(), name="schema"),
]
