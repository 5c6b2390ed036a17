"""Inviting a colleague, and giving somebody a new link to choose a password with."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from apps.accounts.models import User
from apps.console.invitation import InviteForm, link
from apps.console.views.asking import actor
from apps.console.views.render import page
from apps.tenancy import people
from apps.tenancy.models import App


def invite(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    form = InviteForm(request.POST or None, initial={"of": app.name})
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        user = people.invite(
            form.save(commit=False),
            asked["of"],
            asked["role"],
            sees_payloads=asked["sees_payloads"],
            by=actor(request),
            reason=asked["reason"],
        )
        return _shown(request, site, user)
    response = page(request, site, "invite.html", "Invite a colleague", _crumbs(), form=form)
    response.status_code = 400 if form.errors else 200
    return response


def new_link(request: HttpRequest, app: App, site: AdminSite, *, user_id: int) -> HttpResponse:
    """Also ends what the old password began: whoever has forgotten it may have lost it to somebody."""
    user = User.objects.filter(pk=user_id, is_active=True).first() if user_id < 2**63 else None
    if user is None:
        raise Http404("There is no such person, or the account is closed.")
    if request.method == "POST":
        people.forget_password(user, by=actor(request), reason=request.POST.get("reason", "").strip()[:1000])
        return _shown(request, site, user)
    return page(request, site, "new_link.html", f"New link for {user}", _crumbs(), person=user)


def _shown(request: HttpRequest, site: AdminSite, user: User) -> HttpResponse:
    return page(request, site, "invited.html", f"Link for {user}", _crumbs(), person=user, link=link(request, user))


def _crumbs() -> list[tuple[str, str]]:
    return [("People", reverse("admin:accounts_user_changelist"))]
