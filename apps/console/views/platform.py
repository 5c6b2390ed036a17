"""The platform: Apps, the queue and its workers; pausing and resuming the queue."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.db.models import Exists, OuterRef
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.console import workforce
from apps.console.forms import QueueLimit
from apps.console.views.asking import actor, found_app, reason
from apps.console.views.render import live_page, page
from apps.console.workforce import Seat
from apps.queue import control, holds, limits, suspension, workers
from apps.queue.models import QueueEntry
from apps.quotas import rules
from apps.quotas.models import Use
from apps.tasks import retention
from apps.tenancy.models import App

PAGE = 50


def apps(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    after = request.GET.get("after", "")
    found = list(App.objects.filter(name__gt=after)[: PAGE + 1])
    shown = found[:PAGE]
    counts = workforce.by_app(shown)
    return page(
        request, site, "apps.html", "Apps",
        rows=[(row, counts[row.pk]) for row in shown], older=shown[-1].name if len(found) > PAGE else "",
    )  # fmt: skip


def app(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    shown = found_app(name)
    return page(
        request, site, "app.html", str(shown), [("Apps", reverse("admin:platform_apps"))],
        shown=shown,
        hold=holds.of(shown),
        suspension=suspension.of(shown),
        counts=workforce.queue_counts(shown),
        secrets=list(shown.secrets.values_list("name", "updated_at")),
        limits=[(Use.Resource(name).label, rules.as_text(several)) for name, several in shown.limits.items()],
        retention=retention.as_json(retention.policy_of(shown), shown.retention),
    )  # fmt: skip


def queue(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    waiting = list(App.objects.filter(Exists(QueueEntry.objects.filter(app=OuterRef("pk"))))[:PAGE])
    counts = workforce.by_app(waiting)
    return live_page(
        request, site, "queue.html", "_queue.html", "Queue and workers",
        counts=workforce.queue_counts(),
        rows=[(row, counts[row.pk]) for row in waiting],
        force=workforce.workforce(),
        seats=workforce.seats(),
        limit=limits.of_installation(),
    )  # fmt: skip


def entries(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    state = request.GET.get("state", "")
    if state not in QueueEntry.State.values:
        raise Http404("There is no such state of the queue.")
    name = request.GET.get("of", "")
    of = found_app(name) if name else None
    found = workforce.entries(state, of)
    after = request.GET.get("after", "")
    if after.isdecimal():
        found = found.filter(pk__gt=int(after))
    rows = list(found[: PAGE + 1])
    return page(
        request, site, "entries.html", f"Queue: {state}", [("Queue and workers", reverse("admin:platform_queue"))],
        state=state, of=of, rows=rows[:PAGE], older=rows[PAGE - 1].pk if len(rows) > PAGE else "",
    )  # fmt: skip


def pause(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    """Asks first, and for a reason: it holds up the work of every App."""
    if request.method == "POST":
        control.pause(by=actor(request), reason=reason(request))
        messages.success(request, "The queue is paused: what runs goes on, nothing else starts.")
        return redirect("admin:platform_queue")
    return _ask(request, site, "Pause queue", "pause")


def resume(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    if request.method == "POST":
        control.resume(by=actor(request))
        messages.success(request, "The queue runs again.")
        return redirect("admin:platform_queue")
    return _ask(request, site, "Resume queue", "resume")


def limit(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    now = control.status()
    form = QueueLimit(request.POST or None, initial={"max_concurrent": now.max_concurrent})
    if request.method == "POST" and form.is_valid():
        control.limit(form.cleaned_data["max_concurrent"], by=actor(request), reason=form.cleaned_data["reason"])
        messages.success(request, "The limit of the installation is changed.")
        return redirect("admin:platform_queue")
    crumbs = [("Queue and workers", reverse("admin:platform_queue"))]
    response = page(request, site, "queue_limit.html", "Limit", crumbs, form=form, running=now.running)
    response.status_code = 400 if form.errors else 200
    return response


def drain(request: HttpRequest, app: App, site: AdminSite, *, worker_id: int) -> HttpResponse:
    """Asks first: the place of a drained worker stays empty until somebody starts it anew."""
    seat = next((seat for seat in workforce.seats() if seat.worker.pk == worker_id), None)
    refused = _refuses_drain(seat)
    if request.method == "POST" and not refused:
        if workers.drain(worker_id, by=actor(request), reason=reason(request)):
            messages.success(request, f"The worker {seat.worker if seat else ''} claims nothing any more.")
            return redirect("admin:platform_queue")
        refused = "It has gone off shift."
    crumbs = [("Queue and workers", reverse("admin:platform_queue"))]
    response = page(request, site, "worker_drain.html", "Drain worker", crumbs, seat=seat, refused=refused)
    response.status_code = 409 if request.method == "POST" else 200
    return response


def _refuses_drain(seat: Seat | None) -> str:
    if seat is None:
        return "No worker of this number is on shift."
    return "It is draining already." if seat.worker.draining else ""


def _ask(request: HttpRequest, site: AdminSite, title: str, verb: str) -> HttpResponse:
    crumbs = [("Queue and workers", reverse("admin:platform_queue"))]
    return page(
        request, site, "queue_control.html", title, crumbs,
        verb=verb, counts=workforce.queue_counts(), force=workforce.workforce(),
    )  # fmt: skip
