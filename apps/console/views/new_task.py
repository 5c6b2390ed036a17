"""Submitting a task: first the agent, then a form made of its input schema. Works without JavaScript."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.agents.models import Agent
from apps.console.forms import TaskForm
from apps.console.views.asking import actor
from apps.console.views.render import page
from apps.tasks import lifecycle
from apps.tasks.errors import TaskOperationError
from apps.tasks.lifecycle import NewTask
from apps.tenancy.models import App


def new(request: HttpRequest, app: App, site: AdminSite) -> HttpResponse:
    agents = list(Agent.objects.select_related("version")[:500])
    asked = request.POST.get("agent") or request.GET.get("agent") or (agents[0].name if len(agents) == 1 else "")
    agent = next((agent for agent in agents if agent.name == asked), None)
    schema = agent.version.spec.get("input_schema") if agent else None
    form = TaskForm(request.POST if request.method == "POST" and agent else None, schema=schema)
    status = 200
    if request.method == "POST":
        status = 400
        if agent and form.is_valid():
            wanted = NewTask(
                agent=agent.name,
                input=form.input(),
                session=form.cleaned_data["session"],
                priority=form.cleaned_data["priority"] or 0,
            )
            try:
                task = lifecycle.submit(app, wanted, by=actor(request))
            except TaskOperationError as error:
                form.add_error(None, f"The task was not accepted: {error}")
            else:
                return redirect("admin:task", task_id=task.pk)
    crumbs = [("Tasks", reverse("admin:tasks"))]
    response = page(
        request, site, "new_task.html", "New task", crumbs, agents=agents, agent=agent, asked=asked, form=form
    )
    response.status_code = status
    return response
