"""The App's agents: what they are, what they may use, what they have done."""

from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from apps.agents.models import Agent
from apps.console import filters, words
from apps.console.filters import Filter
from apps.console.views.render import page as show_page
from apps.queue import holds
from apps.tasks.models import TaskStatus
from apps.tenancy.models import App

_DURATIONS = {"wall_clock", "initial_delay", "max_delay"}


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    agents = [
        (
            agent,
            list(agent.version.spec.get("tools", {})),
            Filter(agent=agent.name),
            filters.count(Filter(agent=agent.name)),
        )
        for agent in Agent.objects.select_related("version")[:200]
    ]
    return show_page(request, site, "agents.html", "Agents", agents=agents)


def page(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    agent = Agent.objects.select_related("version").filter(name=name).first()
    if agent is None:
        raise Http404(f"There is no agent {name} in the App {app}.")
    spec: dict[str, Any] = agent.version.spec
    tasks = [(status, Filter(agent=name, status=(status,))) for status in TaskStatus.values]
    return show_page(
        request, site, "agent.html", name, [("Agents", reverse("admin:agents"))],
        agent=agent,
        hold=holds.of(app, name),
        spec=spec,
        models=[
            (llm.get("model") or llm.get("provider", ""), llm.get("provider", "") if llm.get("model") else "")
            for llm in spec.get("llms", [])
        ],
        tools=sorted(spec.get("tools", {}).items()),
        limits=_set(spec.get("limits")),
        retry=_set(spec.get("retry")),
        tasks=[(status, which, filters.count(which)) for status, which in tasks],
    )  # fmt: skip


def _set(values: dict[str, Any] | None) -> dict[str, Any]:
    """Only what the document sets."""
    return {
        key.replace("_", " "): words.duration(value) if key in _DURATIONS else value
        for key, value in (values or {}).items()
        if value is not None
    }
