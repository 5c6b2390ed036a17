"""Whole tasks: accepted before, then run by all workers together: task row, attempt, events, result."""

from __future__ import annotations

from typing import Any

from apps.queue.models import QueueEntry
from apps.tasks import lifecycle
from apps.tasks.events import EventType
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Event, Task, TaskStatus
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from bench.harness import BenchError, migrated, pause, seconds_to_drain, tidy, workers

FUNCTION_TASKS, LLM_TASKS = 5_000, 1_500
BATCH = 500
DOCUMENT = {
    "llms": {"script": {"provider": "scripted", "script": [{"text": "An answer."}]}},
    "agents": {
        "function": {"type": "function", "handler": "bench.functions.echo"},
        "llm": {"type": "llm", "llm": "script", "instruction": "Answer."},
    },
}


def of_function_agent(quick: bool) -> dict[str, float]:
    return _measure("function", FUNCTION_TASKS // (5 if quick else 1))


def of_llm_agent(quick: bool) -> dict[str, float]:
    return _measure("llm", LLM_TASKS // (5 if quick else 1))


def _measure(agent: str, count: int) -> dict[str, float]:
    app = migrated(DOCUMENT)
    pause()
    submit(app, count, agent)
    tidy()
    with workers():
        seconds = seconds_to_drain(lambda: not QueueEntry.objects.exists())
    check_completed(app, count)
    return {"per_second": count / seconds}


def submit(app: App, count: int, agent: str, value: Any = "A question.") -> None:
    with in_app(app):
        for done in range(0, count, BATCH):
            batch = [NewTask(agent, value) for _ in range(min(BATCH, count - done))]
            lifecycle.submit_many(app, batch, by="bench")


def check_completed(app: App, count: int) -> None:
    """Each of the tasks has ended well, and once."""
    with in_app(app):
        completed = Task.objects.filter(status=TaskStatus.COMPLETED, output__isnull=False).count()
        ended = Event.objects.filter(type=EventType.EXECUTION_COMPLETED).count()
    if (completed, ended) != (count, count):
        raise BenchError(f"of {count} tasks {completed} are completed, {ended} times in all")
