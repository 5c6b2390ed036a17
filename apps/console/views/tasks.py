"""The list of tasks: state rail, filters, pages by cursor."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse

from apps.agents.models import Agent
from apps.console import filters
from apps.console.filters import Filter
from apps.console.rail import Chip, RailItem
from apps.console.views.render import live_page
from apps.tasks.models import Task, TaskStatus
from apps.tasks.search import TEXT_REACH
from apps.tenancy.models import App

PAGE = 50
_LABELS = {"agent": "Agent", "session": "Session", "tag": "Tag", "entry_point": "Entry point", "q": "Search"}


@dataclass(frozen=True)
class Slice:
    tasks: list[Task]
    newer: str
    older: str


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which = Filter.read(request.GET)
    return live_page(
        request, site, "tasks.html", "_tasks.html", "Tasks",
        app=app,
        which=which,
        rail=_rail(which),
        chips=_chips(which),
        slice=_slice(which, request.GET.get("before", ""), request.GET.get("after", "")),
        agents=list(Agent.objects.values_list("name", flat=True)[:500]),
        windows=filters.WINDOW_LABELS,
        searched=TEXT_REACH,
    )  # fmt: skip


def _rail(which: Filter) -> list[RailItem]:
    everything = which.but(status=())
    items = [RailItem("", filters.count(everything), everything.url, not which.status)]
    for status in TaskStatus.values:
        of_status = which.but(status=(status,))
        items.append(RailItem(status, filters.count(of_status), of_status.url, status in which.status))
    return items


def _chips(which: Filter) -> list[Chip]:
    chips = [
        Chip(label, getattr(which, name), which.but(**{name: ""}).url)
        for name, label in _LABELS.items()
        if getattr(which, name)
    ]
    if which.created:
        chips.append(Chip("Created", filters.WINDOW_LABELS[which.created], which.but(created="").url))
    if which.finished_after or which.finished_before:
        bounds = [bound.strftime("%H:%M") if bound else "" for bound in (which.finished_after, which.finished_before)]
        url = which.but(finished_after=None, finished_before=None).url
        chips.append(Chip("Finished", f"{bounds[0]} to {bounds[1]} UTC", url))
    return chips


def _slice(which: Filter, before: str, after: str) -> Slice:
    """One page. Looks at no more rows than it shows, wherever it is."""
    tasks = which.tasks().defer("output", "metadata")
    if (mark := _uuid(after)) is not None:
        found = list(tasks.filter(pk__gt=mark).order_by("id")[: PAGE + 1])
        shown, newer, older = found[:PAGE][::-1], len(found) > PAGE, True
    else:
        mark = _uuid(before)
        found = list((tasks.filter(pk__lt=mark) if mark else tasks)[: PAGE + 1])
        shown, newer, older = found[:PAGE], mark is not None, len(found) > PAGE
    return Slice(
        shown,
        newer=_to(which, "after", shown[0]) if newer and shown else "",
        older=_to(which, "before", shown[-1]) if older and shown else "",
    )


def _to(which: Filter, direction: str, task: Task) -> str:
    return "?" + urlencode([*which.parameters(), (direction, str(task.pk))])


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
