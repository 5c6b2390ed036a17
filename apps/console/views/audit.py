"""The audit trail: who did what, to what, why and when.

What happened in the App stands in its events, which are written with what they tell of; tokens, people, keys and
whatever else is of no task has records of its own (`apps.accounts.audit`). Newest first; nothing is ever counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from django.contrib.admin import AdminSite
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse

from apps.accounts.models import AuditRecord
from apps.console import frame
from apps.console.views.render import page
from apps.tasks.models import Event
from apps.tenancy.models import App

PAGE = 100
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Deed:
    id: int
    at: datetime
    actor: str
    what: str
    target: str
    task: UUID | None
    reason: str
    details: dict[str, Any]


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    of, before = request.GET.get("of", "tasks"), request.GET.get("before", "")
    if of not in ("tasks", "people") or (before and not before.isdecimal()) or len(before) > 18:
        raise Http404("This is not a page of the audit trail.")
    everywhere = frame.caller(request).is_platform_operator
    if of == "tasks":
        deeds = list(map(_of_event, _page(Event.objects.exclude(actor=""), before)))
    else:
        records = AuditRecord.objects.all() if everywhere else AuditRecord.objects.filter(app_name=app.name)
        deeds = list(map(_of_record, _page(records, before)))
    older = deeds[PAGE - 1].id if len(deeds) > PAGE else ""
    return page(request, site, "audit.html", "Audit", of=of, deeds=deeds[:PAGE], older=older, everywhere=everywhere)


def _page(rows: QuerySet[Row], before: str) -> QuerySet[Row]:
    """One more than is shown tells that there are older ones."""
    return (rows.filter(pk__lt=int(before)) if before else rows).order_by("-pk")[: PAGE + 1]


def _of_event(event: Event) -> Deed:
    payload = dict(event.payload)
    reason = payload.pop("reason", "") or payload.pop("comment", "")
    target = payload.get("agent") or payload.get("tool") or payload.get("channel") or ""
    return Deed(event.pk, event.at, event.actor, event.type, str(target), event.task_id, str(reason), payload)


def _of_record(record: AuditRecord) -> Deed:
    target = " ".join(filter(None, [record.target, record.app_name and f"({record.app_name})"]))
    return Deed(record.pk, record.at, record.actor, record.action, target, None, record.reason, record.details)
