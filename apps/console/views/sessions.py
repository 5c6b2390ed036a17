"""Sessions: what the App's agents have said and kept, and deleting that."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.console import conversation, frame
from apps.console.filters import Filter
from apps.console.views.render import page as show_page
from apps.sessions import store
from apps.sessions.errors import SessionBusy
from apps.sessions.models import Session
from apps.tasks.models import LIVE, Task
from apps.tenancy.models import App

LISTED = 200
SHOWN = 30  # turns; of a longer conversation the last ones


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    agent, name = (request.GET.get(key, "").strip()[:200] for key in ("agent", "session"))
    wanted = {column: text for column, text in (("agent", agent), ("name", name)) if text}
    rows = list(Session.objects.filter(**wanted).defer("value", "packed", "marks")[: LISTED + 1])
    return show_page(
        request, site, "sessions.html", "Sessions",
        rows=rows[:LISTED], more=len(rows) > LISTED, agent=agent, name=name, filtered=bool(wanted),
    )  # fmt: skip


def page(request: HttpRequest, app: App, site: AdminSite, *, session_id: UUID) -> HttpResponse:
    session = _session(session_id)
    turns = list(store.turns(session.pk, session.turns_total - SHOWN + 1, session.turns_total))
    return show_page(
        request, site, "session.html", session.name, [("Sessions", reverse("admin:sessions"))],
        session=session,
        state=store.values(session),
        turns=[(turn, conversation.lines_of(turn)) for turn in turns],
        earlier=session.turns_total > SHOWN,
        tasks=Filter(agent=session.agent, session=session.name),
    )  # fmt: skip


def delete(request: HttpRequest, app: App, site: AdminSite, *, session_id: UUID) -> HttpResponse:
    session = _session(session_id)
    live = Task.objects.filter(agent=session.agent, session=session.name, status__in=LIVE).exists()
    refused = "Tasks of the session have not ended: cancel them, or wait until they have." if live else ""
    if request.method == "POST":
        reason = request.POST.get("reason", "").strip()[:1000]
        try:
            store.delete(session, by=frame.caller(request).actor, reason=reason)
        except SessionBusy as error:
            refused = f"{error}."
        else:
            messages.success(request, f"The session {session.name} of {session.agent} is deleted.")
            return redirect("admin:sessions")
    above = [("Sessions", reverse("admin:sessions")), (session.name, reverse("admin:session", args=[session.pk]))]
    answer = show_page(request, site, "session_delete.html", "Delete session", above, session=session, refused=refused)
    answer.status_code = 409 if request.method == "POST" else 200
    return answer


def _session(session_id: UUID) -> Session:
    session = Session.objects.filter(pk=session_id).first()
    if session is None:
        raise Http404("There is no such session in this App.")
    return session
