"""One sentence that says why a task is where it is."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.approvals.models import Approval
from apps.console import inbox, words
from apps.console.templatetags.console import summary, ticks, when
from apps.console.workforce import silence, workforce
from apps.queue import holds, limits
from apps.queue.limits import Use
from apps.queue.models import Hold, QueueEntry, Worker
from apps.tasks.events import EventType
from apps.tasks.models import Attempt, Event, Task, TaskStatus
from apps.tenancy.models import App

ASKED = 5  # approvals that the sentence names
_UNFINISHED = {EventType.LLM_STARTED.value, EventType.TOOL_CALL_STARTED.value}


def sentence(app: App, task: Task) -> SafeString | str:
    """Reads at most a handful of rows."""
    match task.status:
        case TaskStatus.PENDING:
            return _pending(app, task)
        case TaskStatus.RUNNING:
            return _running(task)
        case TaskStatus.INPUT_REQUIRED:
            return _asked(task)
        case TaskStatus.COMPLETED:
            return _completed(task)
        case TaskStatus.FAILED:
            return _failed(task)
        case _:
            return _cancelled(task)


def _pending(app: App, task: Task) -> SafeString | str:
    if task.follows and task.started_at is None and Task.objects.filter(pk=task.follows, finished_at=None).exists():
        url = reverse("admin:task", args=[task.follows])
        return format_html('Waiting until <a href="{}">the task whose place it takes</a> has stopped.', url)
    entry = QueueEntry.objects.filter(app=app, kind="task", key=task.pk).first()
    if entry is None:
        return "Waiting to be put back into the queue: the next recovery sweep does it, within a minute."
    now = timezone.now()
    if entry.state == QueueEntry.State.SCHEDULED and entry.run_at and entry.run_at > now:
        if task.next_attempt_at is None or task.next_attempt_at <= now:  # it is due, and its entry was put off
            return format_html(
                "A worker took it and could not begin; the worker's log says why. Another try {}.", when(entry.run_at)
            )
        if task.started_at and task.error is None:
            paused = Event.objects.filter(task=task, type=EventType.EXECUTION_PAUSED).order_by("-seq").first()
            reason = paused.payload.get("reason", "") if paused else ""
            return format_html("Put off until {}: {}.", when(entry.run_at), reason)
        if task.attempt:
            error = format_html(" The last one ended with: {}", _message(task.error)) if task.error else ""
            return format_html(
                "Next attempt {} ({} of {}).{}", when(entry.run_at), task.attempt + 1, task.max_retries + 1, error
            )
        return format_html("Starts {}, as it was asked to.", when(entry.run_at))
    if entry.state == QueueEntry.State.PARKED:
        return _parked(app, task)
    return _waiting()


def _parked(app: App, task: Task) -> SafeString | str:
    held = holds.by_lane(app)
    hold = held.get("") or held.get(task.agent)
    if hold is None:
        for who, use in (
            (f"the App {app}", limits.of_app(app)),
            (f"the entry point {task.entry_point}", limits.of_group(app, task.entry_point or "")),
        ):
            if use.is_full:
                return format_html("Parked: {}. It starts when one of them ends.", _full(who, use))
        return "Parked by a pause or a limit that has ended just now: it is taken up again within a minute."
    what = f"agent {hold.lane}" if hold.lane else f"App {app}"
    since, why = when(hold.since), f": {hold.reason}" if hold.reason else "."
    done = "paused" if hold.cause == Hold.Cause.PAUSE else "suspended"
    return format_html("Parked: the {} is {}, by {} {}{}", what, done, hold.actor or "the system", since, why)


def _asked(task: Task) -> SafeString | str:
    waiting = list(Approval.objects.filter(task=task, status=Approval.Status.OPEN).order_by("id")[: ASKED + 1])
    if not waiting:
        return "Waiting for a person to decide."
    links = format_html_join(
        ", ",
        '<a href="{}">{}</a>{}',
        ((reverse("inbox_approval", args=[one.pk]), inbox.title(one), _due(one)) for one in waiting[:ASKED]),
    )
    more = ", and more" if len(waiting) > ASKED else ""
    return format_html("Waiting for a person, asked {}: {}{}.", when(task.waiting_since), links, more)


def _due(approval: Approval) -> SafeString | str:
    return format_html(" (due {})", when(approval.expires_at)) if approval.expires_at else ""


def _full(who: str, use: Use) -> str:
    return f"{use.running} of {use.most} tasks that {who} may run at a time are running"


def _waiting() -> str:
    force = workforce()
    if force.paused or not force.alive:
        return ticks(force.sentence)
    if (use := limits.of_installation()).is_full:
        return f"Waiting: {_full('the installation', use)}. It starts, in its turn, when one of them ends."
    alive = "1 is" if force.alive == 1 else f"{force.alive} are"
    if not force.free:
        return f"Waiting for a worker: {alive} alive, all slots busy."
    return f"Waiting for a worker: {alive} alive, {force.free} of {words.plural(force.slots, 'slot')} free."


def _running(task: Task) -> SafeString | str:
    if task.cancel_requested_at is not None:
        return format_html("Being cancelled: its worker was asked to stop {}.", when(task.cancel_requested_at))
    lost = _lost_worker(task)
    if lost is not None:
        return format_html(
            "Its worker {} was last seen {}: another one takes the task over when that is {} ago.",
            task.worker, when(lost.heartbeat_at), words.duration(settings.HECTOR_QUEUE_STALE_THRESHOLD),
        )  # fmt: skip
    last = Event.objects.filter(task=task).order_by("-seq").first()
    doing = _doing(last) if last and last.type in _UNFINISHED else "Running"
    started = when(task.attempt_started_at or task.started_at)
    return format_html(
        "{} on {}: attempt {} of {}, started {}.", doing, task.worker, task.attempt, task.max_retries + 1, started
    )


def _doing(event: Event) -> str:
    if event.type == EventType.LLM_STARTED:
        return f"Waiting for the model {event.payload.get('model', '')}"
    return f"Running the tool {event.payload.get('tool', '')}"


def _lost_worker(task: Task) -> Worker | None:
    host, _, pid = task.worker.rpartition(":")
    if not pid.isdigit():
        return None
    worker = Worker.objects.filter(host=host, pid=int(pid), stopped_at=None).order_by("-id").first()
    return worker if worker and worker.heartbeat_at < timezone.now() - silence() else None


def _completed(task: Task) -> SafeString | str:
    seconds = (task.finished_at - task.started_at).total_seconds() if task.finished_at and task.started_at else None
    attempts = "at the first attempt" if task.attempt == 1 else f"at attempt {task.attempt}"
    return format_html("Completed {} {}, after {}.", attempts, when(task.finished_at), words.duration(seconds))


def _failed(task: Task) -> SafeString | str:
    error = task.error or {}
    last = Attempt.objects.filter(task=task).order_by("-id").first()
    if last is None:
        return format_html("Failed {} before it could run: {}", when(task.finished_at), _message(error))
    attempts = words.plural(task.attempt, "attempt")
    why = "" if error.get("retryable") else " It was not tried again, since that would not help."
    if task.max_retries == 0 or task.attempt > task.max_retries:
        why = ""
    return format_html("Failed {} after {}: {}{}", when(task.finished_at), attempts, _message(error), why)


def _cancelled(task: Task) -> SafeString | str:
    asked = Event.objects.filter(task=task).exclude(actor="").order_by("-seq").first()
    by = asked.actor if asked else "the system"
    reason = asked.payload.get("reason", "") if asked else ""
    return format_html("Cancelled by {} {}{}", by, when(task.finished_at), f": {reason}" if reason else ".")


def _message(error: Any) -> str:
    text = summary((error or {}).get("message") or "no message", 240)
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
