"""The life of an App: its settings, suspending it and letting it go on, deleting it. Each page says what it does."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.console.forms import AppSettings
from apps.console.views.asking import actor, found_app, reason
from apps.console.views.render import page
from apps.queue import deletion, holds, suspension
from apps.tenancy import lifecycle
from apps.tenancy.errors import AppNotFound
from apps.tenancy.models import DEFAULT_APP, App


def settings(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    of = found_app(name)
    form = AppSettings(request.POST or None, initial={field: getattr(of, field) for field in AppSettings.base_fields})
    if request.method == "POST" and form.is_valid():
        lifecycle.change(of, by=actor(request), **{field: form.cleaned_data[field] for field in form.changed_data})
        if "max_concurrent" in form.changed_data:
            holds.unpark(of.pk)  # as many as fit now
        messages.success(request, f"The settings of the App {name} are changed.")
        return redirect("admin:platform_app", name)
    response = page(request, site, "app_settings.html", "Settings", _crumbs(name, str(of)), form=form, of=of)
    response.status_code = 400 if form.errors else 200
    return response


def suspend(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    of = found_app(name)
    if request.method == "POST":
        effect = suspension.suspend(of, by=actor(request), reason=reason(request))
        messages.success(request, f"The App {of} is suspended: {effect.sentence}")
        return redirect("admin:platform_app", name)
    return _ask(request, site, of, "suspend")


def reactivate(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    of = found_app(name)
    if request.method == "POST":
        effect = suspension.resume(of, by=actor(request), reason=reason(request))
        paused = "but it is paused" if holds.of(of) else f"{effect.waiting:,} may start"
        messages.success(request, f"The App {of} is active again: {paused}.")
        return redirect("admin:platform_app", name)
    return _ask(request, site, of, "reactivate")


def delete(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    """Asks for the App's name: nothing brings it back."""
    of = found_app(name)
    refused = "It is always there and cannot be deleted." if name == DEFAULT_APP else ""
    written = request.POST.get("name")
    if written == name and not refused:
        try:
            gone = deletion.delete(of, by=actor(request), reason=reason(request))
        except AppNotFound:
            raise Http404(f"Somebody else has deleted the App {name} just now.") from None
        done = "is deleted" if gone else "is being deleted: what runs of it is stopped first"
        messages.success(request, f"The App {of} {done}.")
        return redirect("admin:platform_apps")
    response = page(
        request, site, "app_delete.html", f"Delete App {of}", _crumbs(name, str(of)),
        of=of, refused=refused, effect=holds.effect(of), written=written,
    )  # fmt: skip
    if request.method == "POST":
        response.status_code = 403 if refused else 400
    return response


def _ask(request: HttpRequest, site: AdminSite, of: App, verb: str) -> HttpResponse:
    title = f"{verb.capitalize()} App {of}"
    return page(
        request, site, "app_suspension.html", title, _crumbs(of.name, str(of)),
        verb=verb, of=of, effect=holds.effect(of), hold=suspension.of(of),
    )  # fmt: skip


def _crumbs(name: str, title: str) -> list[tuple[str, str]]:
    return [("Apps", reverse("admin:platform_apps")), (title, reverse("admin:platform_app", args=[name]))]
