"""One task: where it is and why, what it was given and gave, what happened; and cancelling it."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.console import conversation, frame, steps, timeline, why
from apps.console.filters import Filter
from apps.console.templatetags.console import summary
from apps.console.views.asking import about, actor, found, reason, refuses_cancel, refuses_retry
from apps.console.views.render import live_page
from apps.console.words import sentence
from apps.tasks import lifecycle
from apps.tasks.errors import IllegalTransition
from apps.tasks.models import FINAL, Attempt, Task, TaskStatus
from apps.tenancy.models import App

NOT_YOURS = "Your role in this App may not do this."
FORKS = 5  # that the page lists


@dataclass(frozen=True)
class Action:
    """What can be done with a task, or why it cannot."""

    label: str
    icon: str
    url: str
    refused: str = ""


def page(request: HttpRequest, app: App, site: AdminSite, *, task_id: UUID) -> HttpResponse:
    task = found(app, task_id)
    return live_page(
        request, site, "task.html", "_task.html", f"{task.agent}: {summary(task.input, 60)}",
        ends=task.status in FINAL,
        crumbs=[("Tasks", reverse("admin:tasks"))],
        app=app,
        task=task,
        why=why.sentence(app, task),
        actions=_actions(task, frame.can(request)),
        timeline=timeline.of(task),
        attempts=list(Attempt.objects.filter(task=task).order_by("-id")[:50]),
        steps=steps.of(task),
        retriable=not refuses_retry(task),
        forks=list(task.forks.order_by("-id")[: FORKS + 1]),
        conversation=conversation.of(task),
        waited=(task.started_at - task.created_at).total_seconds() if task.started_at else None,
        same_agent=Filter(agent=task.agent),
        same_session=Filter(session=task.session) if task.session else None,
        tags=[(tag, Filter(tag=tag)) for tag in task.tags],
    )  # fmt: skip


def cancel(request: HttpRequest, app: App, site: AdminSite, *, task_id: UUID) -> HttpResponse:
    task = found(app, task_id)
    refused = refuses_cancel(task)
    if request.method == "POST" and not refused:
        try:
            task = lifecycle.cancel(app, task, by=actor(request), reason=reason(request))
        except IllegalTransition as error:
            refused = sentence(error)
        else:
            asked = task.status == TaskStatus.RUNNING
            messages.success(request, "Its worker was asked to stop it." if asked else "The task is cancelled.")
            return redirect("admin:task", task_id=task.pk)
    says = (
        "Its worker is asked to stop: the model call and the tools that run are ended, then the task is cancelled."
        if task.status == TaskStatus.RUNNING
        else "The task is taken out of the queue and will not run. It can be retried later."
    )
    return about(request, app, site, task, "Cancel task", "task_cancel.html", says=says, refused=refused)


def _actions(task: Task, can: dict[str, bool]) -> list[Action]:
    actions = [
        ("Cancel…", "block", "task_cancel", refuses_cancel(task)),
        ("Retry…", "replay", "task_retry", refuses_retry(task)),
        ("Fork…", "fork_right", "task_fork", ""),
    ]
    return [
        Action(label, icon, reverse(f"admin:{page}", args=[task.pk]), refused if can[page] else NOT_YOURS)
        for label, icon, page, refused in actions
    ]
