"""One task: where it is and why, what it was given and gave, what happened; cancel and retry."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.console import conversation, timeline, why
from apps.console.filters import Filter
from apps.console.templatetags.console import summary
from apps.console.views.render import live_page
from apps.console.views.render import page as show_page
from apps.tasks import lifecycle
from apps.tasks.errors import IllegalTransition, InputInvalid
from apps.tasks.models import FINAL, LIVE, Attempt, Checkpoint, Task, TaskStatus
from apps.tenancy.models import App

CHECKPOINTS = 100
RETRIABLE = (TaskStatus.FAILED, TaskStatus.CANCELLED)


@dataclass(frozen=True)
class Action:
    """What can be done with a task, or why it cannot."""

    label: str
    icon: str
    url: str
    refused: str = ""


def page(request: HttpRequest, app: App, site: AdminSite, *, task_id: UUID) -> HttpResponse:
    task = _task(app, task_id)
    points = list(Checkpoint.objects.filter(task=task).defer("value", "packed").order_by("-seq")[: CHECKPOINTS + 1])
    return live_page(
        request, site, "task.html", "_task.html", f"{task.agent}: {summary(task.input, 60)}",
        ends=task.status in FINAL,
        crumbs=[("Tasks", reverse("admin:tasks"))],
        app=app,
        task=task,
        why=why.sentence(app, task),
        actions=_actions(task),
        timeline=timeline.of(task),
        attempts=list(Attempt.objects.filter(task=task).order_by("-id")[:50]),
        checkpoints=points[:CHECKPOINTS],
        more_checkpoints=len(points) > CHECKPOINTS,
        conversation=conversation.of(task),
        waited=(task.started_at - task.created_at).total_seconds() if task.started_at else None,
        same_agent=Filter(agent=task.agent),
        same_session=Filter(session=task.session) if task.session else None,
        tags=[(tag, Filter(tag=tag)) for tag in task.tags],
    )  # fmt: skip


def cancel(request: HttpRequest, app: App, site: AdminSite, *, task_id: UUID) -> HttpResponse:
    task = _task(app, task_id)
    refused = _refuses_cancel(task)
    if request.method == "POST" and not refused:
        try:
            task = lifecycle.cancel(app, task, by=_name(request), reason=_reason(request))
        except IllegalTransition as error:
            refused = _sentence(error)
        else:
            asked = task.status == TaskStatus.RUNNING
            messages.success(request, "Its worker was asked to stop it." if asked else "The task is cancelled.")
            return _to(task)
    says = (
        "Its worker is asked to stop: the model call and the tools that run are ended, then the task is cancelled."
        if task.status == TaskStatus.RUNNING
        else "The task is taken out of the queue and will not run. It can be retried later."
    )
    return _confirm(request, app, site, task, "Cancel task", "cancel", says=says, refused=refused)


def retry(request: HttpRequest, app: App, site: AdminSite, *, task_id: UUID) -> HttpResponse:
    task = _task(app, task_id)
    refused, fault, given = _refuses_retry(task), "", _as_text(task.input)
    if request.method == "POST" and not refused:
        given = request.POST.get("input", given)
        try:
            changed = request.POST.get("from") == "start"
            lifecycle.retry(
                app,
                task,
                by=_name(request),
                reason=_reason(request),
                new_input=_input(given, task) if changed else None,
            )
        except IllegalTransition as error:
            refused = _sentence(error)
        except (InputInvalid, ValueError) as error:
            fault = f"The input was not accepted. {_sentence(error)}"
        else:
            messages.success(request, "The task waits for a worker again.")
            return _to(task)
    says = "The task goes back into the queue with all its attempts."
    return _confirm(
        request, app, site, task, "Retry task", "retry", says=says, refused=refused, fault=fault, given=given,
        journal=task.last_checkpoint > task.journal_start, start_over=request.POST.get("from") == "start",
    )  # fmt: skip


def _confirm(
    request: HttpRequest, app: App, site: AdminSite, task: Task, title: str, verb: str, **values: Any
) -> HttpResponse:
    crumbs = [("Tasks", reverse("admin:tasks")), (task.agent, reverse("admin:task", args=[task.pk]))]
    response = show_page(
        request, site, f"task_{verb}.html", title, crumbs, app=app, task=task, reason=_reason(request), **values
    )
    if request.method == "POST" and values.get("refused"):
        response.status_code = 409
    elif values.get("fault"):
        response.status_code = 400
    return response


def _task(app: App, task_id: UUID) -> Task:
    task = Task.objects.select_related("agent_version").filter(pk=task_id).first()
    if task is None:
        raise Http404(
            f"There is no task {task_id} in the App {app}. It may belong to another App, or be kept no longer."
        )
    return task


def _actions(task: Task) -> list[Action]:
    return [
        Action("Cancel…", "block", reverse("admin:task_cancel", args=[task.pk]), _refuses_cancel(task)),
        Action("Retry…", "replay", reverse("admin:task_retry", args=[task.pk]), _refuses_retry(task)),
    ]


def _refuses_cancel(task: Task) -> str:
    if task.status not in LIVE:
        return f"It cannot be cancelled: it is {task.status} already."
    return "Its worker was asked to stop already." if task.cancel_requested_at else ""


def _refuses_retry(task: Task) -> str:
    if task.status in RETRIABLE:
        return ""
    if task.status == TaskStatus.COMPLETED:
        return "It cannot be retried: it is completed. Submit a new task to run it again."
    return "It cannot be retried: it has not ended."


def _input(text: str, task: Task) -> Any:
    """The input as it was written: text where it was text, else JSON."""
    return text if _is_text(task.input) else json.loads(text)


def _is_text(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"text"} and isinstance(value["text"], str)


def _as_text(value: Any) -> str:
    return value["text"] if _is_text(value) else json.dumps(value, indent=2, ensure_ascii=False)


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "").strip()[:1000]


def _name(request: HttpRequest) -> str:
    return request.user.get_username()


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _to(task: Task) -> HttpResponse:
    return redirect("admin:task", task_id=task.pk)
