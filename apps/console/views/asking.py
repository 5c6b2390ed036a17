"""What the pages that ask before something is done have in common; most of them are about a task."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from apps.console.views.render import page
from apps.tasks.models import LIVE, Task, TaskStatus
from apps.tenancy import lifecycle
from apps.tenancy.errors import AppNotFound
from apps.tenancy.models import App

RETRIABLE = (TaskStatus.FAILED, TaskStatus.CANCELLED)


def found(app: App, task_id: UUID) -> Task:
    task = Task.objects.select_related("agent_version").filter(pk=task_id).first()
    if task is None:
        raise Http404(
            f"There is no task {task_id} in the App {app}. It may belong to another App, or be kept no longer."
        )
    return task


def found_app(name: str) -> App:
    """Raises Http404."""
    try:
        return lifecycle.get(name)
    except AppNotFound:
        raise Http404(f"There is no App {name}.") from None


def about(
    request: HttpRequest, app: App, site: AdminSite, task: Task, title: str, template: str, **values: Any
) -> HttpResponse:
    """The page that asks; what is refused, was wrong, or has to be confirmed anew has its status code."""
    crumbs = [("Tasks", reverse("admin:tasks")), (task.agent, reverse("admin:task", args=[task.pk]))]
    response = page(request, site, template, title, crumbs, app=app, task=task, reason=reason(request), **values)
    if request.method == "POST" and (values.get("refused") or values.get("changed")):
        response.status_code = 409
    elif values.get("fault"):
        response.status_code = 400
    return response


def refuses_cancel(task: Task) -> str:
    if task.status not in LIVE:
        return f"It cannot be cancelled: it is {task.status} already."
    return "Its worker was asked to stop already." if task.cancel_requested_at else ""


def refuses_retry(task: Task) -> str:
    if task.status in RETRIABLE:
        return ""
    if task.status == TaskStatus.COMPLETED:
        return "It cannot be retried: it is completed. Fork it to run it again."
    return "It cannot be retried: it has not ended."


def reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()[:1000]


def actor(request: HttpRequest) -> str:
    return request.user.get_username()
