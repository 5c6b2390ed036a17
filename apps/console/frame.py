"""What is around every page: the chosen App, the navigation and its badges, the environment's label.

Everybody sees the pages that the role in the App opens (`apps.accounts.permissions.PAGES`). Who only decides sees the
inbox in a lean frame of its own.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.urls import reverse

from apps.accounts.models import User
from apps.accounts.permissions import PAGES, Caller, Role, may
from apps.approvals import inbox
from apps.console import filters
from apps.console.filters import Filter
from apps.console.letters import Letters
from apps.console.words import Count
from apps.tasks.models import TaskStatus
from apps.tenancy import people
from apps.tenancy.connection import connection
from apps.tenancy.models import DEFAULT_APP, SLUG, App
from apps.triggers.models import Channel

SWITCHABLE = 200  # Apps that the switcher lists; the page of Apps has all of them


@dataclass(frozen=True)
class Entry:
    title: str
    icon: str
    url: str
    page: str  # in the table of permissions
    badge: Count | None = None
    badge_url: str = ""
    badge_label: str = ""
    of_app: bool = True  # it shows one App, so switching stays on it
    active: bool = False


class NotChosen(Exception):
    """The App is not clear: none was chosen yet, or the one that was is not among the person's Apps any more."""

    def __init__(self, gone: str, apps: list[App]) -> None:
        super().__init__()
        self.gone, self.apps = gone, apps


def chosen_app(request: HttpRequest) -> App:
    """The App that a request is about: the one it names, else the one chosen before, of those that one may enter.

    A form names the App of the page that it stands on, so it reaches that App whatever was chosen in another window
    since. Only a page that somebody opens is remembered: no form, and no page that refreshes itself.

    No App stands in for one that is gone: Http404 where the request names it, else NotChosen.
    """
    apps = people.apps_of(_user(request))
    named = request.POST.get("app") or request.GET.get("app") or ""
    if not named:
        return _remembered(request, apps)
    app = apps.filter(name=named).first() if re.fullmatch(SLUG, named) else None
    if app is None:
        raise Http404(f"There is no App {named}.")
    if request.method == "GET" and not is_refresh(request) and request.session.get("app") != named:
        request.session["app"] = named
    return app


def _remembered(request: HttpRequest, apps: QuerySet[App]) -> App:
    """The App that was chosen before. Who has not chosen yet gets the only one; an operator, `default`."""
    name = request.session.get("app") or (DEFAULT_APP if _user(request).is_superuser else "")
    if name:
        if (app := apps.filter(name=name).first()) is not None:
            return app
        request.session.pop("app", None)
    few = list(apps[:SWITCHABLE])
    if len(few) == 1 and not name:
        return few[0]
    raise NotChosen(name, few)


def _user(request: HttpRequest) -> User:
    assert isinstance(request.user, User)
    return request.user


def caller(request: HttpRequest) -> Caller:
    """Who the person is within the App that the request has entered."""
    found: Caller | None = getattr(request, "_caller", None)  # asked for many times on the way to a page
    if found is None:
        found = people.caller(_user(request), current_app())
        if found is None:  # the role was taken away since the App was chosen
            raise PermissionDenied("This account has no role in this App.")
        request._caller = found  # type: ignore[attr-defined]
    return found


def waiting(request: HttpRequest) -> Count:
    """How many approvals wait for the person; counted once for the badge, the tab and the overview."""
    found: Count | None = getattr(request, "_waiting", None)
    if found is None:
        found = request._waiting = filters.capped(inbox.mine(caller(request)))  # type: ignore[attr-defined]
    return found


def can(request: HttpRequest) -> dict[str, bool]:
    """Of each page of the console, whether the person may do what it is for."""
    who = caller(request)
    return {name: all(may(who, need) for need in needs.values()) for name, needs in PAGES.items()}


def is_lean(request: HttpRequest) -> bool:
    """Whether somebody who is there to decide, and administers nothing, looks at what there is to decide."""
    who = caller(request)
    return who.role == Role.APPROVER and not who.is_platform_operator and request.path.startswith(reverse("inbox"))


def current_app() -> App:
    """The App that this request has entered."""
    app = connection.tenant
    assert isinstance(app, App)
    return app


def is_refresh(request: HttpRequest) -> bool:
    """Whether a page on show asks for its own parts again (live.js)."""
    return "X-Live" in request.headers


def context(request: HttpRequest) -> dict[str, Any]:
    """What the console's templates need."""
    groups = navigation(request)
    here = next((entry for _, entries in groups for entry in entries if entry.active), None)
    return {
        "frame": "console/base.html",
        "app": current_app(),
        "apps": list(people.apps_of(_user(request))[:SWITCHABLE]),
        "switch_url": here.url if here and here.of_app else reverse("admin:index"),
        "navigation": groups,
        "can": can(request),
        "environment": settings.HECTOR_ENVIRONMENT,
    }


def lean(request: HttpRequest) -> dict[str, Any]:
    """The same for who only decides."""
    return {
        "frame": "console/lean.html",
        "app": current_app(),
        "apps": list(people.apps_of(_user(request))[:SWITCHABLE]),
        "switch_url": reverse("inbox"),
        "environment": settings.HECTOR_ENVIRONMENT,
        "role": caller(request).role,
        "can": can(request),
        "waiting": waiting(request),
    }


def navigation(request: HttpRequest) -> list[tuple[str, list[Entry]]]:
    """The sidebar, by what an operator asks."""
    failed = Filter(status=(TaskStatus.FAILED,))
    failures = filters.count(failed)
    letters, approvals = Letters(), reverse("inbox")
    silent = Channel.objects.filter(enabled=True, disabled_at__isnull=False)
    groups = [
        ("Activity", [
            _entry("Overview", "space_dashboard", "index"),
            _entry("Tasks", "checklist", "tasks", badge=failures, badge_url=failed.url, badge_label="failed tasks"),
            _entry(
                "Dead letters", "mark_email_unread", "dead_letters",
                badge=letters.count(), badge_url=letters.url, badge_label="open dead letters",
            ),
            Entry("Approvals", "back_hand", approvals, "inbox", waiting(request), approvals, "approvals for you"),
            _entry("Events", "bolt", "events"),
        ]),
        ("Triggers", [
            _entry("Entry points", "login", "entry_points"),
            _entry("Webhook deliveries", "webhook", "webhooks"),
            _entry(
                "Notifications", "notifications", "notifications",
                badge=filters.capped(silent), badge_url=reverse("admin:notifications"),
                badge_label="channels that are switched off",
            ),
        ]),
        ("Resources", [
            _entry("Agents", "smart_toy", "agents"),
            _entry("Sessions", "forum", "sessions"),
            _entry("Configuration", "tune", "configuration"),
        ]),
        ("Platform", [
            _entry("Apps", "apps", "platform_apps", of_app=False),
            _entry("Queue and workers", "conveyor_belt", "platform_queue", of_app=False),
            _entry("Limits and budgets", "speed", "limits"),
            _entry("Audit", "history", "audit"),
            _entry("People", "group", "accounts_user_changelist", of_app=False),
        ]),
    ]  # fmt: skip
    allowed = can(request)
    seen = [(title, [entry for entry in entries if allowed[entry.page]]) for title, entries in groups]
    return [(title, [_placed(entry, request.path) for entry in entries]) for title, entries in seen if entries]


def _entry(title: str, icon: str, name: str, **more: Any) -> Entry:
    return Entry(title, icon, reverse(f"admin:{name}"), name, **more)


def _placed(entry: Entry, path: str) -> Entry:
    index = reverse("admin:index")
    active = path == index if entry.url == index else path.startswith(entry.url)
    return dataclasses.replace(entry, active=active)
