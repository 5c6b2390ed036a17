"""Entry points: what starts work, how each is doing, what came of it lately; pausing, resuming, running one now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.agents.models import Agent
from apps.agents.registry import TriggerSpec
from apps.console.filters import Filter
from apps.console.forms import TaskForm
from apps.console.views.asking import actor, reason
from apps.console.views.render import live_page, page
from apps.console.words import sentence
from apps.tasks.errors import TaskOperationError
from apps.tenancy.models import App
from apps.triggers.entry_points import activity, lifecycle, timers
from apps.triggers.entry_points.activity import Activity
from apps.triggers.entry_points.specs import spec_of
from apps.triggers.errors import EntryPointRefused
from apps.triggers.models import EntryPoint, Firing
from apps.triggers.starters.base import trigger_types

MOST = 100  # of a page
OUTCOMES = 5
ABOVE = "Entry points"
_ANY_OBJECT = {"type": "object"}


@dataclass(frozen=True)
class Row:
    entry_point: EntryPoint
    description: str
    when: str  # what starts it, in words
    activity: Activity
    next_runs: list[datetime]
    firings: list[Firing]  # the last ones
    tasks: str  # where its tasks are listed


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    found = list(EntryPoint.objects.filter(removed_at=None)[: MOST + 1])
    now = activity.by_entry_point()
    return live_page(
        request, site, "entry_points.html", "_entry_points.html", ABOVE,
        app=app,
        rows=[_row(entry_point, now.get(entry_point.name, Activity())) for entry_point in found[:MOST]],
        too_many=len(found) > MOST,
        still=timers.are_paused(),
    )  # fmt: skip


def _row(entry_point: EntryPoint, now: Activity) -> Row:
    spec = spec_of(entry_point)
    return Row(
        entry_point=entry_point,
        description=spec.description,
        when=_words(spec.trigger),
        activity=now,
        next_runs=timers.next_runs(entry_point),
        firings=list(entry_point.firings.all()[:OUTCOMES]),
        tasks=Filter(entry_point=entry_point.name).url,
    )


def _words(trigger: TriggerSpec) -> str:
    said = trigger.model_dump(mode="json")
    if said.get("cron"):
        return f"{said['cron']} ({said['timezone']})"
    return f"every {said['interval']:g} s" if said.get("interval") else trigger.type


# --- Verbs --------------------------------------------------------------------------------------------------------
def pause(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    found = _entry_point(name)

    def act() -> str:
        lifecycle.pause(app, found, by=actor(request), reason=reason(request))
        return f"{found} is paused. What it has started goes on."

    return _ask(request, app, site, "Pause entry point", act, verb="pause", found=found)


def resume(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    found = _entry_point(name)

    def act() -> str:
        lifecycle.resume(app, found, by=actor(request), reason=reason(request))
        return f"{found} starts work again, from now on."

    refused = "" if found.paused_at else f"{found} is not paused."
    return _ask(request, app, site, "Resume entry point", act, verb="resume", found=found, refused=refused)


def run(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    """Starts it now; what only calls start is given an input, in a form made of its agent's schema."""
    found = _entry_point(name)
    form = _form(request, found)

    def act() -> str | HttpResponse:
        value = form.input() if form else None
        made = lifecycle.trigger(app, found, by=actor(request), cause=Firing.Cause.MANUAL, input=value)
        return redirect("admin:task", task_id=made.task) if made.task else f"{found} started nothing: {made.reason}"

    paused = trigger_types[found.type].by_call and found.paused_at is not None
    refused = f"{found} is paused; resume it first." if paused else ""
    return _ask(request, app, site, "Run now", act, verb="run", found=found, refused=refused, form=form)


def _form(request: HttpRequest, found: EntryPoint) -> TaskForm | None:
    if not trigger_types[found.type].by_call:
        return None
    agent = Agent.objects.select_related("version").filter(name=found.agent).first()
    schema = agent.version.spec.get("input_schema") if agent else None
    if spec_of(found).input is not None:  # its template makes the agent's input of this one
        schema = _ANY_OBJECT
    return TaskForm(request.POST if request.method == "POST" else None, schema=schema)


def _ask(
    request: HttpRequest,
    app: App,
    site: AdminSite,
    title: str,
    act: Callable[[], str | HttpResponse],
    *,
    verb: str,
    found: EntryPoint,
    refused: str = "",
    form: TaskForm | None = None,
) -> HttpResponse:
    """Asks first; with a POST, does it, and leads back with what was done, or to where it says."""
    back = reverse("admin:entry_points")
    status = 200
    if request.method == "POST":
        status = 409
        if form is not None and not form.is_valid():
            status = 400
        elif not refused:
            try:
                done = act()
            except EntryPointRefused as error:
                refused = sentence(error)
            except TaskOperationError as error:
                status, fault = 400, sentence(error)
                if form is None:
                    refused = fault
                else:
                    form.add_error(None, fault)
            else:
                if isinstance(done, HttpResponse):
                    return done
                messages.success(request, done)
                return redirect(back)
    values: dict[str, Any] = {"verb": verb, "found": found, "refused": refused, "form": form, "back": back}
    response = page(request, site, "entry_point_ask.html", f"{title}: {found}", [(ABOVE, back)], app=app, **values)
    response.status_code = status
    return response


def _entry_point(name: str) -> EntryPoint:
    found = EntryPoint.objects.filter(name=name, removed_at=None).first()
    if found is None:
        raise Http404(f"There is no entry point {name} in the configuration of this App.")
    return found
