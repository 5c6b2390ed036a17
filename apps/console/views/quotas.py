"""Limits and budgets: what the App and its tokens may use, what they have used, and who most; changing the App's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from apps.console import words
from apps.console.forms import AppLimits
from apps.console.views.asking import actor, found_app, reason
from apps.console.views.render import page
from apps.quotas import counting, rules
from apps.quotas.counting import Standing
from apps.quotas.models import Use
from apps.tasks import budgets
from apps.tenancy import tokens
from apps.tenancy.models import App, Credential

TOKENS = 100  # with limits of their own, the newest
MOST = 5  # of those who use most
NEAR = 80  # per cent
_THEN = {
    "": "When it is used up: 429 until the next one begins.",
    rules.WAIT: "When it is used up: tasks wait for the next window, new ones are refused.",
    rules.ASK: "When it is used up: tasks wait until people raise it for this window.",
    rules.FAIL: "When it is used up: tasks fail, new ones are refused.",
}


@dataclass(frozen=True)
class Row:
    """One limit in its present window; `users` are who uses most of it, with how much."""

    standing: Standing
    users: Sequence[tuple[str, str, str]] = ()

    @property
    def percent(self) -> int:
        return min(100, self.standing.used * 100 // self.standing.allowed)

    @property
    def state(self) -> str:
        return "failed" if not self.standing.left else "input_required" if self.percent >= NEAR else "running"

    @property
    def says(self) -> str:
        return "Used up." if not self.standing.left else "Nearly used up." if self.percent >= NEAR else ""

    @property
    def title(self) -> str:
        rule = self.standing.rule
        return f"{'Dollars' if rule.resource == Use.Resource.COST else rule.resource.label} per {rule.window}"

    @property
    def used(self) -> str:
        one = self.standing
        raised = ", raised by people" if one.allowed > one.rule.limit else ""
        return f"{_amount(one, one.used)} of {_amount(one, one.allowed)}{raised}"

    @property
    def of_requests(self) -> bool:
        return self.standing.rule.resource == Use.Resource.REQUESTS

    @property
    def then(self) -> str:
        return _THEN[self.standing.rule.on_breach]


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    of_app = counting.standings(rules.rules_of(Use.Kind.APP, "", app.limits))
    return page(
        request, site, "limits.html", "Limits and budgets",
        rows=[Row(standing, _users(standing)) for standing in of_app],
        of_tokens=_of_tokens(app),
    )  # fmt: skip


def _of_tokens(app: App) -> list[tuple[Credential, list[Row]]]:
    """Of those that are good and have limits of their own."""
    good = Credential.objects.filter(app=app, user=None, revoked_at=None, expires_at__gt=timezone.now())
    found = list(good.exclude(limits={})[:TOKENS])
    of_each = [rules.rules_of(Use.Kind.CALLER, tokens.actor_of(app.name, one.key), one.limits) for one in found]
    rows = iter([Row(standing) for standing in counting.standings([rule for several in of_each for rule in several])])
    return [(one, [next(rows) for _ in several]) for one, several in zip(found, of_each, strict=True)]


def _users(standing: Standing) -> list[tuple[str, str, str]]:
    rule = standing.rule
    window = Use.objects.filter(resource=rule.resource, seconds=rule.seconds, start=standing.start, used__gt=0)
    shares = [
        *window.filter(kind=Use.Kind.AGENT).order_by("-used")[:MOST],
        *window.filter(kind=Use.Kind.CALLER).order_by("-used")[:MOST],
    ]
    return [(share.kind, share.name, _amount(standing, share.used)) for share in shares]


def _amount(standing: Standing, units: int) -> str:
    number = rules.amount(standing.rule.resource, units)
    return words.money(number) if standing.rule.resource == Use.Resource.COST else f"{number:,}"


def change(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    of = found_app(name)
    form = AppLimits(
        request.POST or None,
        initial={resource: rules.as_text(several) for resource, several in of.limits.items()},
    )
    if request.method == "POST" and form.is_valid():
        budgets.set_limits(of, form.limits, by=actor(request), reason=reason(request))
        messages.success(request, f"The limits of the App {of} are changed; they hold within a second.")
        return redirect("admin:platform_app", name)
    crumbs = [("Apps", reverse("admin:platform_apps")), (str(of), reverse("admin:platform_app", args=[name]))]
    response = page(request, site, "app_limits.html", "Limits and budgets", crumbs, form=form, of=of)
    response.status_code = 400 if form.errors else 200
    return response
