"""Grants: which calls of tools run without asking, by whose decision, and taking that back."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.accounts.permissions import Need, may
from apps.approvals import grants
from apps.approvals.errors import GrantEnded, NotEntitled
from apps.approvals.models import Grant
from apps.console import frame
from apps.console.views.render import page
from apps.tenancy.models import App

LISTED = 200


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    by = frame.caller(request)
    found = list(grants.in_force().select_related("task")[: LISTED + 1])
    return page(
        request, site, "grants.html", "Grants", [("Approvals", reverse("inbox"))],
        app=app, rows=found[:LISTED], more=len(found) > LISTED, decides=may(by, Need.APPROVER),
    )  # fmt: skip


def revoke(request: HttpRequest, app: App, site: AdminSite, *, grant_id: UUID) -> HttpResponse:
    grant = Grant.objects.select_related("task").filter(pk=grant_id).first()
    if grant is None:
        raise Http404("There is no such grant in this App.")
    by = frame.caller(request)
    refused = "" if may(by, Need.APPROVER) else "Revoking a grant needs the role approver or admin."
    if not refused and not grants.in_force().filter(pk=grant.pk).exists():
        refused = "The grant is not in force any more: it was revoked, or has ended."
    status = 200
    if request.method == "POST":
        try:
            grants.revoke(grant, by=by, reason=request.POST.get("reason", "").strip()[:1000])
        except (GrantEnded, NotEntitled) as error:
            refused, status = str(error), 409 if isinstance(error, GrantEnded) else 403
        else:
            messages.success(request, f"The grant is revoked: {grant.tool} asks again.")
            return redirect("grants")
    crumbs = [("Approvals", reverse("inbox")), ("Grants", reverse("grants"))]
    response = page(request, site, "grant_revoke.html", "Revoke grant", crumbs, app=app, grant=grant, refused=refused)
    response.status_code = status
    return response
