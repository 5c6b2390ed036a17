"""What came for webhooks: each delivery, what was made of it, what it held; handing it over again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.console.rail import Chip
from apps.console.views.asking import actor, reason
from apps.console.views.render import live_page, page
from apps.console.words import sentence
from apps.tenancy.models import App
from apps.triggers.errors import EntryPointRefused
from apps.triggers.models import EntryPoint, WebhookDelivery
from apps.triggers.starters.webhook import NAME
from apps.triggers.webhooks import receiving

PAGE = 50
ABOVE = "Webhook deliveries"


@dataclass(frozen=True)
class Which:
    """The deliveries that the page lists. An empty field does not narrow."""

    entry_point: str
    verdict: str

    @classmethod
    def of(cls, request: HttpRequest) -> Which:
        verdict = request.GET.get("verdict", "")
        known = verdict if verdict in WebhookDelivery.Verdict.values else ""
        return cls(request.GET.get("entry_point", "")[:64], known)

    @property
    def found(self) -> Any:
        fields = {"entry_point__name": self.entry_point, "verdict": self.verdict}
        rows = WebhookDelivery.objects.select_related("entry_point").defer("body", "headers", "query")
        return rows.filter(**{field: value for field, value in fields.items() if value})

    def url(self, **more: str) -> str:
        parameters = {name: value for name, value in (vars(self) | more).items() if value}
        return f"{reverse('admin:webhooks')}{'?' if parameters else ''}{urlencode(parameters)}"


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which, before = Which.of(request), _before(request)
    found = which.found.filter(pk__lt=before) if before else which.found
    rows = list(found.order_by("-pk")[: PAGE + 1])
    return live_page(
        request, site, "webhooks.html", "_webhooks.html", ABOVE,
        ends=before is not None,
        app=app,
        which=which,
        chips=[Chip("Entry point", which.entry_point, which.url(entry_point=""))] if which.entry_point else [],
        verdicts=[(verdict, which.url(verdict=verdict)) for verdict in WebhookDelivery.Verdict.values],
        everything=which.url(verdict=""),
        addresses=list(EntryPoint.objects.filter(type=NAME, removed_at=None)),
        rows=rows[:PAGE],
        older=which.url(before=str(rows[PAGE - 1].pk)) if len(rows) > PAGE else "",
        newest=which.url() if before else "",
    )  # fmt: skip


def delivery(request: HttpRequest, app: App, site: AdminSite, *, delivery_id: UUID) -> HttpResponse:
    found = _delivery(delivery_id)
    return page(
        request, site, "webhook.html", _title(found), [(ABOVE, reverse("admin:webhooks"))],
        app=app, delivery=found, refused=_refused(found),
        again=WebhookDelivery.objects.filter(redelivery_of=found.pk).order_by("-pk")[:10],
    )  # fmt: skip


def redeliver(request: HttpRequest, app: App, site: AdminSite, *, delivery_id: UUID) -> HttpResponse:
    found = _delivery(delivery_id)
    back, refused = reverse("admin:webhook", args=[found.pk]), _refused(found)
    if request.method == "POST":
        try:
            again = receiving.redeliver(app, found, by=actor(request), reason=reason(request))
        except EntryPointRefused as error:
            refused = sentence(error)
        else:
            messages.success(request, "It was handed over once more; this is what was made of it.")
            return redirect("admin:webhook", delivery_id=again.pk)
    crumbs = [(ABOVE, reverse("admin:webhooks")), (_title(found), back)]
    response = page(
        request, site, "webhook_redeliver.html", "Hand over again", crumbs,
        app=app, back=back, refused=refused, delivery=found,
    )  # fmt: skip
    response.status_code = 409 if request.method == "POST" else 200
    return response


def _before(request: HttpRequest) -> UUID | None:
    text = request.GET.get("before", "")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Http404("This is no page of the deliveries.") from None


def _refused(found: WebhookDelivery) -> str:
    why = receiving.why_not_redeliverable(found)
    return sentence(ValueError(why)) if why else ""


def _title(found: WebhookDelivery) -> str:
    return f"{found.method} {found.path}"[:100]


def _delivery(delivery_id: UUID) -> WebhookDelivery:
    found = WebhookDelivery.objects.select_related("entry_point").filter(pk=delivery_id).first()
    if found is None:
        raise Http404("There is no such delivery in this App. It may be kept no longer.")
    return found
