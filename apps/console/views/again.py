"""Running a task again, and forking it: from where, with which input, and what that repeats, told before it is done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from apps.agents.models import Agent
from apps.console import inputs, steps
from apps.console.letters import number
from apps.console.views.asking import about, actor, found, reason, refuses_retry
from apps.console.words import sentence
from apps.tasks import forks, lifecycle, replay
from apps.tasks.errors import IllegalTransition, NotResumable, TaskOperationError
from apps.tasks.models import Task
from apps.tenancy.models import App

JOURNAL, START = "journal", "start"  # or the number of a checkpoint
PINNED, NEWEST = "pinned", "newest"


@dataclass
class Asked:
    """What the form holds, and what was wrong with it."""

    origin: str
    given: str  # the input, as it is edited
    version: str = PINNED
    fault: str = ""
    changed: str = ""

    @property
    def checkpoint(self) -> int | None:
        return number(self.origin)

    def input(self, task: Task) -> Any:
        """The other input that is wanted; None: the task's own. Raises ValueError."""
        value = inputs.read(self.given, like=task.input)
        return None if value == task.input else value


class ContradictoryChoice(ValueError):
    """Going on where it stopped keeps the input. To use another one, choose a step or the beginning."""


def retry(request: HttpRequest, app: App, site: AdminSite, *, task_id: UUID) -> HttpResponse:
    task = found(app, task_id)
    asked, refused = _asked(request, task, (JOURNAL, START)), refuses_retry(task)
    if _is_preview(request):
        return _preview(request, asked, task)
    if request.method == "POST" and not refused and _confirmed(request, asked, _plan(asked, task)):
        try:
            new_input = asked.input(task)
            if asked.origin == JOURNAL and new_input is not None:
                raise ContradictoryChoice(ContradictoryChoice.__doc__)
            if asked.origin == START:
                new_input = inputs.read(asked.given, like=task.input)
            lifecycle.retry(
                app, task, by=actor(request), new_input=new_input, from_checkpoint=asked.checkpoint,
                reason=reason(request),
            )  # fmt: skip
        except IllegalTransition as error:
            refused = sentence(error)
        except (TaskOperationError, ValueError) as error:
            asked.fault = f"The task was not retried. {sentence(error)}"
        else:
            messages.success(request, "The task waits for a worker again.")
            return redirect("admin:task", task_id=task.pk)
    return _page(request, app, site, task, "retry", asked, refused=refused)


def fork(request: HttpRequest, app: App, site: AdminSite, *, task_id: UUID) -> HttpResponse:
    task = found(app, task_id)
    asked = _asked(request, task, (START,))
    if _is_preview(request):
        return _preview(request, asked, task)
    if request.method == "POST" and _confirmed(request, asked, _plan(asked, task)):
        try:
            child = forks.fork(
                app, task, by=actor(request), from_checkpoint=asked.checkpoint, new_input=asked.input(task),
                newest=asked.version == NEWEST, reason=reason(request),
            )  # fmt: skip
        except (TaskOperationError, ValueError) as error:
            asked.fault = f"The task was not forked. {sentence(error)}"
        else:
            messages.success(request, "This is the fork. It waits for a worker.")
            return redirect("admin:task", task_id=child.pk)
    newest = Agent.objects.select_related("version").filter(name=task.agent).first()
    return _page(request, app, site, task, "fork", asked, newest=newest, no_newest=_refuses_newest(task, newest))


def _asked(request: HttpRequest, task: Task, origins: tuple[str, ...]) -> Asked:
    given = request.POST if request.method == "POST" else request.GET
    origin = given.get("from", "")
    return Asked(
        origin=origin if origin in origins or number(origin) else origins[0],
        given=request.POST.get("input", inputs.as_text(task.input)),
        version=NEWEST if given.get("version") == NEWEST else PINNED,
    )


def _plan(asked: Asked, task: Task) -> str:
    """What the choice makes of what is recorded; where it cannot be, that is noted as the fault."""
    try:
        return replay.plan(task, asked.checkpoint, anew=asked.origin == START).sentence()
    except NotResumable as error:
        asked.fault = sentence(error)
        return ""


def _confirmed(request: HttpRequest, asked: Asked, plan: str) -> bool:
    """Whether the person was told what this choice does; without JavaScript the page tells it now."""
    if asked.fault or "show" in request.POST:
        return False
    if request.POST.get("planned") != plan:
        asked.changed = "Nothing was done yet: see below what this choice does, and confirm it."
    return not asked.changed


def _is_preview(request: HttpRequest) -> bool:
    return request.method == "GET" and "HX-Request" in request.headers


def _preview(request: HttpRequest, asked: Asked, task: Task) -> HttpResponse:
    return render(request, "console/_plan.html", {"plan": _plan(asked, task), "asked": asked})


def _page(
    request: HttpRequest, app: App, site: AdminSite, task: Task, verb: str, asked: Asked, **values: Any
) -> HttpResponse:
    plan = _plan(asked, task)
    return about(
        request, app, site, task, f"{verb.capitalize()} task", "task_again.html",
        verb=verb, asked=asked, plan=plan, steps=steps.to_go_on_from(task), fault=asked.fault, changed=asked.changed,
        journal=task.last_checkpoint > task.journal_start, **values,
    )  # fmt: skip


def _refuses_newest(task: Task, newest: Agent | None) -> str:
    if newest is None:
        return f"The App has no agent {task.agent} any more."
    return "The task has the newest version." if newest.version_id == task.agent_version_id else ""
