"""The overview: what waits, runs and failed, who works, and where to look first."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse

from apps.agents.models import Agent
from apps.console import chart, filters, frame, overview
from apps.console.filters import Filter
from apps.console.inbox import Which
from apps.console.views.render import live_page
from apps.console.workforce import workforce
from apps.tasks.models import TaskStatus
from apps.tenancy.models import App

TILES = (TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.INPUT_REQUIRED, TaskStatus.COMPLETED, TaskStatus.FAILED)


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which = {status.value: Filter(status=(status.value,)) for status in TILES}
    everyone = Which(tab="all")
    throughput = chart.of(overview.throughput())
    return live_page(
        request, site, "overview.html", "_overview.html", "Overview",
        app=app,
        tiles=[(status, which[status], filters.count(which[status])) for status in which],
        asked=everyone.count(frame.caller(request)),
        asked_url=everyone.url,
        mine=frame.waiting(request),
        mine_url=Which().url,
        oldest=overview.oldest_waiting(),
        force=workforce(),
        chart=throughput,
        failures=overview.recent_failures(),
        failed=which[TaskStatus.FAILED],
        agents=overview.busiest_agents(),
        has_agents=Agent.objects.exists(),
        recent=overview.RECENT,
    )  # fmt: skip
