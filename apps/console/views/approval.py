"""One approval: what is asked and why, exactly what about, what happened before; and deciding."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect

from apps.accounts.permissions import Caller
from apps.approvals import lifecycle, rights
from apps.approvals.errors import ApprovalError, DecisionInvalid, NotEntitled
from apps.approvals.models import Approval, Decision
from apps.console import frame, inbox, limits, timeline
from apps.console.deciding import Deciding
from apps.console.exactly import Change, changes
from apps.console.inbox import Which
from apps.console.views.render import live_page
from apps.console.words import plural
from apps.tasks.models import TaskStatus
from apps.tenancy.models import App

BEFORE = 8  # events of the task that the page shows


def page(request: HttpRequest, app: App, site: AdminSite, *, approval_id: UUID) -> HttpResponse:
    approval, by = _approval(app, approval_id), frame.caller(request)
    form = Deciding(request, approval, refused=_refused(approval, by))
    fault, status, changed = "", 200, None if form.refused else _same(request, approval)
    if request.method == "POST" and "again" not in request.POST:
        try:
            if form.is_for_review:
                changed = form.changed_arguments()
                fault = "" if changed is not None else "Nothing was changed. Approve the call as it is, or change it."
            else:
                _decide(app, approval, form, by)
                messages.success(request, _what_follows(approval))
                return redirect(_back(request).url)
        except DecisionInvalid as error:
            fault, status, changed = form.refuse(error), 400, form.shown
        except ApprovalError as error:
            fault, status = str(error), 403 if isinstance(error, NotEntitled) else 409
            approval, changed = _approval(app, approval_id), form.shown
    response = _show(request, app, site, approval, form, by, fault=fault, changed=changed)
    if status != 200:
        response.status_code = status
    return response


def _approval(app: App, approval_id: UUID) -> Approval:
    found = Approval.objects.select_related("task").prefetch_related("decisions").filter(pk=approval_id).first()
    if found is None:
        raise Http404(f"There is no approval {approval_id} in the App {app}.")
    return found


def _decide(app: App, approval: Approval, form: Deciding, by: Caller) -> None:
    lifecycle.decide(
        app, approval, form.decision, by=by, comment=form.comment, arguments=form.changed_arguments(),
        answer=form.given_answer(), grant=form.terms(),
    )  # fmt: skip


def _show(
    request: HttpRequest, app: App, site: AdminSite, approval: Approval, form: Deciding, by: Caller, *, fault: str,
    changed: dict[str, Any] | None,
) -> HttpResponse:  # fmt: skip
    back = _back(request)
    is_open = approval.status == Approval.Status.OPEN
    row = inbox.row(approval)
    return live_page(
        request, site, "approval.html", "_approval.html", row.title,
        ends=not is_open,
        crumbs=[("Approvals", back.url)],
        app=app,
        approval=approval,
        row=row,
        why=inbox.policy(approval),
        made=[Made(decision, label, _changes(approval, decision.arguments)) for decision, label in row.made],
        asks=_asks(approval),
        model_reads=_model_reads(approval, form),
        limit=limits.of(approval) if approval.kind == Approval.Kind.BUDGET else None,
        closed=not is_open,
        refused=_refused(approval, by),
        mine=by.actor in row.actors,
        me=by.actor,
        form=form,
        choices=[(verb.value, choice) for verb, choice in form.choices.items()],
        fault=fault,
        changes=_changes(approval, changed) if is_open else [],
        changed=json.dumps(changed),
        sent=[(name, value) for name, value in request.POST.items() if name != "csrfmiddlewaretoken"],
        before=_before(approval),
        back=back,
    )  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A decision, and what it changes the call to."""

    decision: Decision
    label: str
    changes: list[Change]


def _same(request: HttpRequest, approval: Approval) -> dict[str, Any] | None:
    """The changes of somebody else's decision, to be looked at and agreed to."""
    wanted = request.GET.get("same", "") if request.method == "GET" else ""
    return next((one.arguments for one in approval.decisions.all() if str(one.pk) == wanted), None)


def _changes(approval: Approval, changed: dict[str, Any] | None) -> list[Change]:
    return [] if changed is None else changes(approval.arguments, changed)


def _asks(approval: Approval) -> Any:
    """The arguments of a question that say more than the question."""
    about = approval.arguments
    return None if approval.kind != Approval.Kind.QUESTION or about == {"question": approval.prompt} else about


def _model_reads(approval: Approval, form: Deciding) -> str:
    """What one does for the model to read the comment; empty where it never does."""
    tells = approval.kind in (Approval.Kind.TOOL_CALL, Approval.Kind.QUESTION)
    reject = form.choices.get(Decision.Verb.REJECT)
    return reject.label.lower() if reject and tells and approval.on_reject == Approval.OnReject.CONTINUE else ""


def _before(approval: Approval) -> list[timeline.Row]:
    rows = timeline.of(approval.task).rows
    return [row for row in rows if approval.closed_at is None or row.at <= approval.closed_at][-BEFORE:]


def _refused(approval: Approval, by: Caller) -> str:
    """Why this person may not decide; empty if they may."""
    try:
        rights.check(approval, by)
    except NotEntitled as error:
        return str(error)
    return ""


def _back(request: HttpRequest) -> Which:
    """The list that the person came from."""
    return Which.read(QueryDict(request.POST.get("back") or request.GET.get("back") or ""))


def _what_follows(approval: Approval) -> str:
    if approval.status == Approval.Status.OPEN:
        return "Your decision is kept. Somebody else has to agree too."
    approval.task.refresh_from_db()
    left = Approval.objects.filter(task=approval.task_id, status=Approval.Status.OPEN).count()
    if left:
        return f"Decided. The task waits for {plural(left, 'more decision')}."
    return (
        "Decided. The task has failed." if approval.task.status == TaskStatus.FAILED else "Decided. The task goes on."
    )
