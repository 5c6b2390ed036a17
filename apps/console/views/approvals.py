"""What waits for a person: the open approvals of the App, one by one, and deciding. (A plain page.)"""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.accounts.models import User
from apps.accounts.permissions import Caller
from apps.approvals import lifecycle
from apps.approvals.choices import choices
from apps.approvals.errors import AlreadyDecided, ApprovalError
from apps.approvals.models import Approval
from apps.console.views.render import page as show_page
from apps.tenancy import people
from apps.tenancy.models import App

PAGE = 50


def index(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    """The longest wait first."""
    found = Approval.objects.filter(status=Approval.Status.OPEN).select_related("task").order_by("id")
    try:
        found = found.filter(pk__gt=UUID(request.GET["after"])) if "after" in request.GET else found
    except ValueError:
        raise Http404("This is not a page of the list.") from None
    rows = list(found[: PAGE + 1])
    return show_page(
        request, site, "approvals.html", "Approvals",
        app=app, rows=rows[:PAGE], more=rows[PAGE - 1].pk if len(rows) > PAGE else "",
    )  # fmt: skip


def page(request: HttpRequest, app: App, site: AdminSite, *, approval_id: UUID) -> HttpResponse:
    approval = Approval.objects.select_related("task").filter(pk=approval_id).first()
    if approval is None:
        raise Http404(f"There is no approval {approval_id} in the App {app}.")
    fault, status = "", 200
    if request.method == "POST":
        try:
            _decide(request, app, approval)
        except AlreadyDecided as error:
            fault, status = str(error), 409
            approval.refresh_from_db()
        except (ApprovalError, json.JSONDecodeError) as error:
            fault, status = f"Nothing was decided. {error}", 400
        else:
            messages.success(request, _what_follows(approval))
            return redirect("inbox")
    response = show_page(
        request, site, "approval.html", f"{approval.tool}: did it run?", [("Approvals", reverse("inbox"))],
        app=app,
        approval=approval,
        task=approval.task,
        choices=[(verb.value, choice) for verb, choice in choices(approval).items()],
        closed="" if approval.status == Approval.Status.OPEN else lifecycle.how_closed(approval),
        fault=fault,
        given=request.POST,
    )  # fmt: skip
    response.status_code = status
    return response


def _decide(request: HttpRequest, app: App, approval: Approval) -> None:
    """Raises ApprovalError, and JSONDecodeError for a result that is said to be JSON and is not."""
    decision = request.POST.get("decision", "")
    lifecycle.decide(
        app,
        approval,
        decision,
        by=_caller(request, app),
        comment=request.POST.get("comment", "").strip()[:4000],
        answer=_result(request) if decision == "ran" else None,
    )


def _caller(request: HttpRequest, app: App) -> Caller:
    """Raises PermissionDenied for somebody who has lost their role since the page was shown."""
    assert isinstance(request.user, User)
    if (caller := people.caller(request.user, app)) is None:
        raise PermissionDenied
    return caller


def _result(request: HttpRequest) -> Any:
    text = request.POST.get("answer", "")
    if request.POST.get("answer_is") == "json":
        return json.loads(text)
    return text.strip() or None


def _what_follows(approval: Approval) -> str:
    approval.task.refresh_from_db()
    left = Approval.objects.filter(task=approval.task_id, status=Approval.Status.OPEN).count()
    if left:
        return f"Decided. The task waits for {left} more decision{'s' if left > 1 else ''}."
    return "Decided. The task has failed." if approval.task.status == "failed" else "Decided. The task goes on."
