"""A bulk operation: how far it is, what became of each letter, and stopping it."""

from __future__ import annotations

from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.console.letters import number
from apps.console.views.asking import actor, reason
from apps.console.views.render import live_page
from apps.console.views.render import page as show_page
from apps.console.words import plural, sentence
from apps.tasks import operations
from apps.tasks.models import FINAL, Operation, OperationItem, TaskStatus
from apps.tasks.operations import OperationEnded
from apps.tenancy.models import App

PAGE = 50
_DONE = {Operation.Verb.RETRY: "retried", Operation.Verb.DISCARD: "discarded"}
_OF = {Operation.Verb.RETRY: "Retry", Operation.Verb.DISCARD: "Discard"}


def page(request: HttpRequest, app: App, site: AdminSite, *, operation_id: UUID) -> HttpResponse:
    operation = _operation(operation_id)
    counts = operations.counts(operation)
    outcome = request.GET.get("outcome", "")
    items = OperationItem.objects.filter(operation=operation).select_related("dead_letter__task").order_by("pk")
    if outcome in OperationItem.Outcome.values:
        items = items.filter(outcome=outcome)
    after = number(request.GET.get("after", ""))
    rows = list((items.filter(pk__gt=after) if after else items)[: PAGE + 1])
    return live_page(
        request, site, "operation.html", "_operation.html", title(operation),
        ends=_rests(operation, rows),
        crumbs=[("Dead letters", reverse("admin:dead_letters"))],
        app=app,
        operation=operation,
        sentence=_sentence(operation, counts),
        counts={name: counts[name] for name in OperationItem.Outcome.values},
        gone=counts["gone"],
        outcome=outcome,
        rows=rows[:PAGE],
        more=rows[PAGE - 1].pk if len(rows) > PAGE else "",
    )  # fmt: skip


def stop(request: HttpRequest, app: App, site: AdminSite, *, operation_id: UUID) -> HttpResponse:
    operation = _operation(operation_id)
    refused = ""
    if request.method == "POST":
        try:
            operations.stop(app, operation, by=actor(request), reason=reason(request))
        except OperationEnded as error:
            refused = sentence(error)
        else:
            messages.success(request, "The operation is stopped. What it has done stays done.")
            return redirect("admin:operation", operation_id=operation.pk)
    elif operation.status != Operation.Status.RUNNING:
        refused = f"The operation has ended: it is {operation.status}."
    crumbs = [
        ("Dead letters", reverse("admin:dead_letters")),
        (title(operation), reverse("admin:operation", args=[operation.pk])),
    ]
    response = show_page(
        request, site, "operation_stop.html", "Stop operation", crumbs, app=app, operation=operation, refused=refused,
        left=operations.counts(operation)["waiting"],
    )  # fmt: skip
    response.status_code = 409 if request.method == "POST" else 200
    return response


def title(operation: Operation) -> str:
    return f"{_OF[Operation.Verb(operation.verb)]} {plural(operation.total, 'letter')}"


def _sentence(operation: Operation, counts: dict[str, int]) -> str:
    """Why it is where it is."""
    done = f"{counts['done']:,} of {operation.total:,} {_DONE[Operation.Verb(operation.verb)]}"
    rest = plural(counts["waiting"], "letter was", "letters were")
    if operation.status == Operation.Status.COMPLETED:
        others = [f"{counts[name]:,} {name}" for name in ("skipped", "failed") if counts[name]]
        return f"Finished: {', '.join([done, *others])}."
    if operation.status == Operation.Status.STOPPED:
        by = f"Stopped by {operation.stopped_by}" if operation.stopped_by else "Stopped by itself"
        why = f": {operation.stop_reason}" if operation.stop_reason else ""
        return f"{by}{why}{'' if why.endswith('.') else '.'} {done}; {rest} left alone."
    if operation.options.get("canary") and counts["done"] == 1:
        return "One letter was retried first. The others follow once its task has completed."
    if not counts["done"] + counts["skipped"] + counts["failed"]:
        return "Waiting for a worker."
    return f"Under way: {done}."


def _rests(operation: Operation, rows: list[OperationItem]) -> bool:
    """Whether nothing on the page will change any more: not even the tasks that it shows."""
    if operation.status == Operation.Status.RUNNING:
        return False
    tasks = [row.dead_letter.task.status for row in rows]
    return all(TaskStatus(status) in FINAL for status in tasks)


def _operation(operation_id: UUID) -> Operation:
    operation = Operation.objects.filter(pk=operation_id).first()
    if operation is None:
        raise Http404("There is no such operation in this App.")
    return operation
