"""The console: an Unfold admin site whose pages are our own, and which shows only what is registered here.

Every page runs inside the App that the request is about, for those whose role there opens it
(`apps.accounts.permissions.PAGES`). Models of an App have no model admin at all: their state changes through the verbs
of `apps.tasks.lifecycle` and `apps.approvals.lifecycle`, which the pages call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.response import SimpleTemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.cache import never_cache
from unfold.sites import UnfoldAdminSite

from apps.accounts.models import User
from apps.accounts.permissions import PAGES, Need, Role, may, need
from apps.console import frame
from apps.console.login import LoginForm
from apps.console.people import PeopleAdmin
from apps.console.views import (
    again,
    agents,
    app_life,
    audit,
    configuration,
    dead_letters,
    entry_points,
    events,
    holds,
    inbox,
    new_task,
    notifications,
    operations,
    overview,
    people,
    platform,
    quotas,
    second_factor,
    sessions,
    task,
    tasks,
    tokens,
    webhooks,
)
from apps.tenancy.connection import connection
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from apps.tenancy.payloads import shown_to
from apps.tenancy.people import has_role

AppView = Callable[..., HttpResponseBase]


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]  # Unfold has no types
    index_title = "Overview"
    login_form = LoginForm
    enable_nav_sidebar = True

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether there is anything here for the person; which pages, `apps.accounts.permissions` says."""
        user = request.user
        return isinstance(user, User) and user.is_active and has_role(user)

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Guards a view, and runs and renders it inside the App that the request is about."""
        guarded = super().admin_view(view, cacheable)

        def entered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if self.has_permission(request):
                return _in_app(request, guarded, *args, **kwargs)
            return guarded(request, *args, **kwargs)  # type: ignore[no-any-return]  # to the login page

        return update_wrapper(entered, view)

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context: dict[str, Any] = super().each_context(request)
        inside = self.has_permission(request) and isinstance(connection.tenant, App)
        return context | frame.context(request) if inside else context

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        who = frame.caller(request)
        if who.role == Role.APPROVER and not who.is_platform_operator:
            return redirect("inbox")
        return overview.index(request, frame.current_app(), self)

    def extra_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, AppView, str]] = [
            ("tasks/", tasks.index, "tasks"),
            ("tasks/new/", new_task.new, "new_task"),
            ("tasks/<uuid:task_id>/", task.page, "task"),
            ("tasks/<uuid:task_id>/cancel/", task.cancel, "task_cancel"),
            ("tasks/<uuid:task_id>/retry/", again.retry, "task_retry"),
            ("tasks/<uuid:task_id>/fork/", again.fork, "task_fork"),
            ("dead-letters/", dead_letters.index, "dead_letters"),
            ("dead-letters/letters/", dead_letters.listed, "letters"),
            ("dead-letters/retry/", dead_letters.retry, "letters_retry"),
            ("dead-letters/discard/", dead_letters.discard, "letters_discard"),
            ("dead-letters/operations/<uuid:operation_id>/", operations.page, "operation"),
            ("dead-letters/operations/<uuid:operation_id>/stop/", operations.stop, "operation_stop"),
            ("events/", events.index, "events"),
            ("approvals/", inbox.history, "approvals_history"),
            ("entry-points/", entry_points.index, "entry_points"),
            ("entry-points/<str:name>/run/", entry_points.run, "entry_point_run"),
            ("entry-points/<str:name>/pause/", entry_points.pause, "entry_point_pause"),
            ("entry-points/<str:name>/resume/", entry_points.resume, "entry_point_resume"),
            ("webhooks/", webhooks.index, "webhooks"),
            ("webhooks/<uuid:delivery_id>/", webhooks.delivery, "webhook"),
            ("webhooks/<uuid:delivery_id>/redeliver/", webhooks.redeliver, "webhook_redeliver"),
            ("notifications/", notifications.index, "notifications"),
            ("notifications/messages/<uuid:delivery_id>/", notifications.message, "message"),
            ("notifications/messages/<uuid:delivery_id>/redeliver/", notifications.redeliver, "message_redeliver"),
            ("notifications/channels/<str:name>/redeliver/", notifications.redeliver_failed, "channel_redeliver"),
            ("notifications/channels/<str:name>/enable/", notifications.enable, "channel_enable"),
            ("notifications/channels/<str:name>/test/", notifications.test, "channel_test"),
            ("sessions/", sessions.index, "sessions"),
            ("sessions/<uuid:session_id>/", sessions.page, "session"),
            ("sessions/<uuid:session_id>/delete/", sessions.delete, "session_delete"),
            ("agents/", agents.index, "agents"),
            ("agents/<str:name>/", agents.page, "agent"),
            ("agents/<str:name>/pause/", holds.pause_agent, "agent_pause"),
            ("agents/<str:name>/resume/", holds.resume_agent, "agent_resume"),
            ("configuration/", configuration.index, "configuration"),
            ("configuration/diff/", configuration.diff, "configuration_diff"),
            ("configuration/<int:number>/", configuration.revision, "revision"),
            ("platform/apps/", platform.apps, "platform_apps"),
            ("platform/apps/<str:name>/", platform.app, "platform_app"),
            ("platform/apps/<str:name>/pause/", holds.pause_app, "app_pause"),
            ("platform/apps/<str:name>/resume/", holds.resume_app, "app_resume"),
            ("limits/", quotas.index, "limits"),
            ("platform/apps/<str:name>/limits/", quotas.change, "app_limits"),
            ("platform/apps/<str:name>/settings/", app_life.settings, "app_settings"),
            ("platform/apps/<str:name>/suspend/", app_life.suspend, "app_suspend"),
            ("platform/apps/<str:name>/reactivate/", app_life.reactivate, "app_reactivate"),
            ("platform/apps/<str:name>/delete/", app_life.delete, "app_delete"),
            ("platform/apps/<str:name>/tokens/", tokens.index, "app_tokens"),
            ("platform/apps/<str:name>/tokens/<slug:key>/revoke/", tokens.revoke, "token_revoke"),
            ("platform/people/invite/", people.invite, "invite"),
            ("platform/people/<int:user_id>/link/", people.new_link, "new_link"),
            ("audit/", audit.index, "audit"),
            ("second-factor/", second_factor.index, "two_factor"),
            ("platform/queue/", platform.queue, "platform_queue"),
            ("platform/queue/entries/", platform.entries, "platform_entries"),
            ("platform/queue/pause/", platform.pause, "queue_pause"),
            ("platform/queue/resume/", platform.resume, "queue_resume"),
            ("platform/queue/limit/", platform.limit, "queue_limit"),
            ("platform/queue/workers/<int:worker_id>/drain/", platform.drain, "worker_drain"),
        ]
        return [path(route, self.page(view), name=name) for route, view, name in pages]

    def page(self, view: AppView) -> Callable[..., Any]:
        """A page of ours: `view(request, app, site, …)`."""

        def shown(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            app: App = frame.current_app()
            return view(request, app, self, **kwargs)

        return self.admin_view(update_wrapper(shown, view))

    def inbox_page(self, view: AppView) -> Callable[..., Any]:
        """A page of ours outside of /admin/."""

        def entered(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path(), reverse("admin:login"))
            return _in_app(request, shown, **kwargs)

        def shown(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
            return view(request, frame.current_app(), self, **kwargs)

        return never_cache(update_wrapper(entered, view))


def _in_app(request: HttpRequest, view: Callable[..., Any], *args: Any, **kwargs: Any) -> HttpResponseBase:
    """The page, if the role of the person in the App opens it, with what the person may see."""
    given = (text for query in (request.GET, request.POST) for _, texts in query.lists() for text in texts)
    if any("\0" in text for text in given):
        raise BadRequest("A NUL character cannot be stored, so nothing can be found by one either.")
    try:
        app = frame.chosen_app(request)
    except frame.NotChosen as choice:
        shown = {**site.each_context(request), "apps": choice.apps, "gone": choice.gone}
        return render(request, "console/choose_app.html", shown, status=409 if choice.apps else 403)
    with in_app(app):
        _check(request)
        with shown_to(frame.caller(request)):
            response: HttpResponseBase = view(request, *args, **kwargs)
            if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
                response = response.render()
            return response


def _check(request: HttpRequest) -> None:
    """Raises PermissionDenied. Addresses without a name lead nowhere, which is for operators to find out."""
    match = request.resolver_match
    name = match.url_name if match else None
    wanted = need(name, request.method or "", PAGES) if name else Need.PLATFORM
    if wanted is None or not may(frame.caller(request), wanted):
        raise PermissionDenied


site = ConsoleSite(name="admin")
site.register(User, PeopleAdmin)
