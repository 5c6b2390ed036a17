"""Pausing and resuming an agent or an App; each says first what it does to what runs and waits."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.agents.models import Agent
from apps.console.views.asking import actor, found_app, reason
from apps.console.views.render import page
from apps.queue import holds
from apps.tenancy.models import App


def pause_agent(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    return _ask(request, app, site, "pause", app, _agent(app, name))


def resume_agent(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    return _ask(request, app, site, "resume", app, _agent(app, name))


def pause_app(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    return _ask(request, app, site, "pause", found_app(name), "")


def resume_app(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    return _ask(request, app, site, "resume", found_app(name), "")


def _agent(app: App, name: str) -> str:
    if not Agent.objects.filter(name=name).exists():
        raise Http404(f"There is no agent {name} in the App {app}.")
    return name


def _ask(request: HttpRequest, app: App, site: AdminSite, verb: str, of: App, lane: str) -> HttpResponse:
    """Asks first; done with a POST. `of` is the App that it is about, `app` the one that the page shows."""
    what = f"agent {lane}" if lane else f"App {of}"
    back = reverse("admin:agent", args=[lane]) if lane else reverse("admin:platform_app", args=[of.name])
    if request.method == "POST":
        by, why = actor(request), reason(request)
        if verb == "pause":
            effect = holds.hold(of, lane, by=by, reason=why)
            messages.success(request, f"The {what} is paused: {effect.sentence}")
        else:
            effect = holds.lift(of, lane, by=by, reason=why)
            still = holds.of(of) if lane else None
            messages.success(
                request,
                f"The {what} is resumed, but the whole App is paused."
                if still
                else f"The {what} is resumed: {effect.waiting:,} may start.",
            )
        return redirect(back)
    parents = [("Agents", reverse("admin:agents"))] if lane else [("Apps", reverse("admin:platform_apps"))]
    return page(
        request, site, "hold.html", f"{verb.capitalize()} {what}", [*parents, (lane or str(of), back)],
        app=app, verb=verb, what=what, back=back, effect=holds.effect(of, lane), hold=holds.of(of, lane),
    )  # fmt: skip
