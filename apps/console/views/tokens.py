"""The tokens of an App: listed without themselves, made (and shown that once), revoked."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.accounts.permissions import Role
from apps.console.views.asking import actor, found_app, reason
from apps.console.views.render import page
from apps.tenancy import tokens
from apps.tenancy.models import App, Credential

PAGE = 100
_LIFETIMES = {"1": "a day", "30": "30 days", "90": "90 days", "365": "a year"}  # days


class NewToken(forms.Form):
    note = forms.CharField(label="What it is for", max_length=200)
    role = forms.ChoiceField(choices=[(role.value, role.value.capitalize()) for role in Role])
    days = forms.ChoiceField(label="Good for", choices=list(_LIFETIMES.items()), initial="90")
    sees_payloads = forms.BooleanField(label="As a viewer, reads what tasks were given and gave", required=False)


def index(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    """Also makes one: the answer to the form is the only page that ever shows it."""
    of = found_app(name)
    form, made = NewToken(request.POST or None), ""
    if request.method == "POST" and form.is_valid():
        asked = form.cleaned_data
        lifetime = timedelta(days=int(asked.pop("days")))
        made = tokens.issue_app_token(of.name, expires_in=lifetime, by=actor(request), **asked)
        form = NewToken()
    response = page(
        request, site, "tokens.html", f"Tokens of {of}", _crumbs(of),
        of=of, rows=list(Credential.objects.filter(app=of, user=None)[:PAGE]), listed=PAGE, form=form, made=made,
    )  # fmt: skip
    response.status_code = 400 if form.errors else 200
    return response


def revoke(request: HttpRequest, app: App, site: AdminSite, *, name: str, key: str) -> HttpResponse:
    """Asks first: what uses the token stops working."""
    of = found_app(name)
    credential = Credential.objects.filter(app=of, user=None, key=key).first()
    if credential is None:
        raise Http404("The App has no such token.")
    refused = "It is revoked already." if credential.revoked_at else ""
    if request.method == "POST" and not refused:
        try:
            tokens.revoke_app_token(of.name, key, by=actor(request), reason=reason(request))
        except tokens.NoSuchToken:
            refused = "Somebody else has revoked it just now."
        else:
            messages.success(request, "The token is revoked: within a second it is good for nothing.")
            return redirect("admin:app_tokens", name=of.name)
    crumbs = [*_crumbs(of), ("Tokens", reverse("admin:app_tokens", args=[of.name]))]
    response = page(
        request, site, "token_revoke.html", "Revoke token", crumbs, of=of, credential=credential, refused=refused
    )
    response.status_code = 409 if request.method == "POST" else 200
    return response


def _crumbs(of: App) -> list[tuple[str, str]]:
    return [("Apps", reverse("admin:platform_apps")), (str(of), reverse("admin:platform_app", args=[of.name]))]
