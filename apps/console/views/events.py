"""What happened in the App, as it happens: every event, narrowed by type, task, agent and entry point."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from apps.agents.models import Agent
from apps.console.rail import Chip
from apps.console.views.render import live_page
from apps.tasks.event_search import REACH, EventFilter
from apps.tasks.events import EventType, is_type
from apps.tenancy.models import App

PAGE = 50
_LABELS = {"type": "Type", "task": "Task", "agent": "Agent", "entry_point": "Entry point"}


@dataclass(frozen=True)
class Which:
    """The events that the page lists. An empty field does not narrow."""

    type: str
    task: str
    agent: str
    entry_point: str

    @classmethod
    def of(cls, request: HttpRequest) -> Which:
        return cls(**{name: request.GET.get(name, "").strip()[:100] for name in _LABELS})

    def url(self, **more: str) -> str:
        parameters = {name: value for name, value in (vars(self) | more).items() if value}
        return f"{reverse('admin:events')}{'?' if parameters else ''}{urlencode(parameters)}"

    def filter(self) -> EventFilter | None:
        """None: there can be no such event."""
        try:
            task = UUID(self.task) if self.task else None
        except ValueError:
            return None
        if self.type and not is_type(self.type):
            return None
        return EventFilter([self.type] if self.type else (), task, self.agent, self.entry_point)


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which, before = Which.of(request), request.GET.get("before", "")
    if before and not (before.isascii() and before.isdecimal() and len(before) <= 18):
        raise Http404("This is no page of the events.")
    wanted = which.filter()
    rows = []
    if wanted is not None:
        found = wanted.listed().order_by("-pk")
        rows = list((found.filter(pk__lt=int(before)) if before else found)[: PAGE + 1])
    return live_page(
        request, site, "events.html", "_events.html", "Events",
        ends=bool(before),
        app=app,
        which=which,
        chips=[Chip(label, value, which.url(**{name: ""})) for name, label in _LABELS.items()
               if (value := getattr(which, name))],
        types=EventType.values,
        agents=list(Agent.objects.values_list("name", flat=True)[:500]),
        rows=rows[:PAGE],
        first=not before,
        newest=which.url(),
        older=which.url(before=str(rows[PAGE - 1].pk)) if len(rows) > PAGE else "",
        reach=REACH,
    )  # fmt: skip
