"""The App's configuration, read only: the document in force, earlier revisions, what changed between two."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from apps.agents.config.apply import diff as difference
from apps.agents.config.writing import as_yaml
from apps.agents.models import Revision
from apps.console.views.render import page
from apps.tenancy.models import App

LISTED = 100


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    revisions = list(Revision.objects.defer("document").order_by("-number")[:LISTED])
    current = Revision.objects.order_by("-number").first()
    return page(
        request, site, "configuration.html", "Configuration",
        revisions=revisions, current=current, yaml=as_yaml(current.document) if current else "", listed=LISTED,
    )  # fmt: skip


def revision(request: HttpRequest, app: App, site: AdminSite, *, number: int) -> HttpResponse:
    found = _revision(app, number)
    crumbs = [("Configuration", reverse("admin:configuration"))]
    return page(
        request, site, "revision.html", f"Revision {number}", crumbs,
        revision=found, yaml=as_yaml(found.document), before=Revision.objects.filter(number__lt=number).first(),
    )  # fmt: skip


def diff(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    a, b = (_revision(app, _number(request.GET.get(name, ""))) for name in ("a", "b"))
    if a.number > b.number:
        a, b = b, a
    lines = [(_kind(line), line) for line in difference(a, b).splitlines()[2:]]
    crumbs = [("Configuration", reverse("admin:configuration"))]
    return page(request, site, "diff.html", f"Revision {a.number} to {b.number}", crumbs, a=a, b=b, lines=lines)


def _kind(line: str) -> str:
    return {"+": "added", "-": "removed", "@": "place"}.get(line[:1], "same")


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise Http404("Two revisions are compared by their numbers.")
    return int(text)


def _revision(app: App, number: int) -> Revision:
    found = Revision.objects.filter(number=number).first()
    if found is None:
        raise Http404(f"There is no revision {number} in the App {app}.")
    return found
