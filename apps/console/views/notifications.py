"""Notifications: each channel and how it is doing, each message and what came back; sending again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from apps.console.filters import capped
from apps.console.templatetags.console import words_of
from apps.console.views.asking import actor, reason
from apps.console.views.render import live_page, page
from apps.console.words import Count, plural, sentence
from apps.tenancy.models import App
from apps.triggers.errors import NotificationRefused
from apps.triggers.models import Channel, Delivery
from apps.triggers.notifications import deliveries, lifecycle
from apps.triggers.notifications.deliveries import WAITS

PAGE = 50
PERIODS = {  # how far back what has failed is sent again
    "hour": ("in the last hour", timedelta(hours=1)),
    "day": ("in the last day", timedelta(days=1)),
    "week": ("in the last week", timedelta(days=7)),
    "ever": ("as far back as the log goes", timedelta(days=36500)),
}


@dataclass(frozen=True)
class Which:
    """The messages that the page lists."""

    channel: str
    status: str

    @classmethod
    def of(cls, request: HttpRequest) -> Which:
        status = request.GET.get("status", "")
        return cls(request.GET.get("channel", "")[:80], status if status in Delivery.Status.values else "")

    @property
    def found(self) -> Any:
        return Delivery.objects.filter(**{name: value for name, value in vars(self).items() if value})

    def url(self, **more: str) -> str:
        parameters = {name: value for name, value in (vars(self) | more).items() if value}
        return f"{reverse('admin:notifications')}{'?' if parameters else ''}{urlencode(parameters)}"


@dataclass(frozen=True)
class Row:
    """A channel, and how many of its messages wait or have failed, each number with its list."""

    channel: Channel
    spec: Any
    numbers: list[tuple[str, Which, Count]]


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    which, before = Which.of(request), _before(request)
    found = which.found.filter(pk__lt=before) if before else which.found
    rows = list(found.order_by("-pk")[: PAGE + 1])
    return live_page(
        request, site, "notifications.html", "_notifications.html", "Notifications",
        app=app,
        channels=[_row(channel) for channel in Channel.objects.all()],
        which=which,
        statuses=Delivery.Status.values,
        rows=rows[:PAGE],
        older=which.url(before=str(rows[PAGE - 1].pk)) if len(rows) > PAGE else "",
        first=not before,
    )  # fmt: skip


def _row(channel: Channel) -> Row:
    lists = [(status, Which(channel.name, status)) for status in (Delivery.Status.WAITING, Delivery.Status.FAILED)]
    return Row(channel, lifecycle.spec_of(channel), [(status, which, capped(which.found)) for status, which in lists])


def _before(request: HttpRequest) -> UUID | None:
    text = request.GET.get("before", "")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise Http404("This is no page of the messages.") from None


def message(request: HttpRequest, app: App, site: AdminSite, *, delivery_id: UUID) -> HttpResponse:
    delivery = _delivery(delivery_id)
    return live_page(
        request, site, "message.html", "_message.html", _title(delivery),
        crumbs=[("Notifications", reverse("admin:notifications"))],
        app=app,
        delivery=delivery,
        attempt=delivery.tries + 1,
        most=len(WAITS) + 1,
        log=list(delivery.log.order_by("-number")),
        refused=_refuses(delivery),
    )  # fmt: skip


# --- Verbs --------------------------------------------------------------------------------------------------------
def redeliver(request: HttpRequest, app: App, site: AdminSite, *, delivery_id: UUID) -> HttpResponse:
    delivery = _delivery(delivery_id)

    def act() -> str:
        deliveries.redeliver(app, delivery, by=actor(request), reason=reason(request))
        return "The message is sent once more."

    back = reverse("admin:message", args=[delivery.pk])
    crumbs = [("Notifications", reverse("admin:notifications")), (_title(delivery), back)]
    return _ask(
        request, app, site, "Send again", act, crumbs, verb="redeliver", refused=_refuses(delivery), delivery=delivery
    )


def redeliver_failed(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    channel, now = _channel(name), timezone.now()
    _, age = PERIODS.get(request.POST.get("since", ""), PERIODS["day"])

    def act() -> str:
        total = deliveries.redeliver_failed(app, channel, now - age, by=actor(request), reason=reason(request))
        return f"{plural(total, 'message is', 'messages are')} sent once more."

    counts = [
        (key, label, capped(deliveries.failed_since(channel, now - age))) for key, (label, age) in PERIODS.items()
    ]
    chosen = next((key for key, _, number in counts if number), "")
    refused = _refuses_channel(channel) or ("" if chosen else "Nothing has failed, as far back as the log goes.")
    return _ask(
        request, app, site, "Send what has failed again", act, _above(channel),
        verb="redeliver_failed", refused=refused, channel=channel, counts=counts, chosen=chosen,
    )  # fmt: skip


def enable(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    channel = _channel(name)

    def act() -> str:
        lifecycle.enable(app, channel, by=actor(request), reason=reason(request))
        return f"{channel} is told of what happens again. What has failed is not sent by that."

    refused = "" if channel.disabled_at else f"{channel} was not switched off."
    return _ask(
        request, app, site, "Switch channel on", act, _above(channel), verb="enable", refused=refused, channel=channel
    )


def test(request: HttpRequest, app: App, site: AdminSite, *, name: str) -> HttpResponse:
    channel = _channel(name)

    def act() -> HttpResponse:
        sent = deliveries.send_test(app, channel, by=actor(request), reason=reason(request))
        return redirect("admin:message", delivery_id=sent.pk)

    return _ask(
        request, app, site, "Send a test", act, _above(channel),
        verb="test", refused=_refuses_channel(channel), channel=channel, target=lifecycle.spec_of(channel).target,
    )  # fmt: skip


def _ask(
    request: HttpRequest,
    app: App,
    site: AdminSite,
    title: str,
    act: Callable[[], str | HttpResponse],
    crumbs: list[tuple[str, str]],
    *,
    refused: str,
    **values: Any,
) -> HttpResponse:
    """Asks first; with a POST, does it, and leads back to the page above with what was done or to where it says."""
    back = crumbs[-1][1]
    if request.method == "POST":
        try:
            done = act()
        except NotificationRefused as error:
            refused = sentence(error)
        else:
            if isinstance(done, HttpResponse):
                return done
            messages.success(request, done)
            return redirect(back)
    response = page(
        request, site, "notification_ask.html", title, crumbs, app=app, back=back, refused=refused, **values
    )
    response.status_code = 409 if request.method == "POST" else 200
    return response


def _above(channel: Channel) -> list[tuple[str, str]]:
    return [("Notifications", reverse("admin:notifications")), (channel.name, Which(channel.name, "").url())]


def _refuses(delivery: Delivery) -> str:
    if delivery.status == Delivery.Status.WAITING:
        return "It is on its way already."
    return _refuses_channel(Channel.objects.filter(name=delivery.channel).first(), delivery.channel)


def _refuses_channel(channel: Channel | None, name: str = "") -> str:
    why = lifecycle.why_not_active(channel.name if channel else name, channel)
    return sentence(ValueError(why)) if why else ""


def _title(delivery: Delivery) -> str:
    return f"{words_of(delivery.type)} to {delivery.channel}"


def _delivery(delivery_id: UUID) -> Delivery:
    delivery = Delivery.objects.filter(pk=delivery_id).first()
    if delivery is None:
        raise Http404("There is no such message in this App. It may be kept no longer.")
    return delivery


def _channel(name: str) -> Channel:
    channel = Channel.objects.filter(name=name).first()
    if channel is None:
        raise Http404(f"There is no channel {name} in the configuration of this App.")
    return channel
