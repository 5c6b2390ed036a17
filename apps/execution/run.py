"""Drives one claimed task to its next rest: completed, failed, put off, waiting for a person, cancelled, handed back.

The handler of queue entries of kind `task` (`apps.queue.handler`). A `function` agent is one call; an `llm` agent is
driven by Pydantic AI, with every model answer and tool result in the journal, so that an attempt goes on where the
one before it stopped.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import random
import traceback
import weakref
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from django.conf import settings
from pydantic_ai import Agent
from pydantic_ai.tools import DeferredToolRequests
from pydantic_ai.usage import UsageLimits
from pydantic_core import to_jsonable_python

from apps.agents import handlers
from apps.agents.config.spec import AgentSpec
from apps.agents.errors import PermanentError, classify, scrub
from apps.agents.llms.scripted import request_number
from apps.agents.policies import Policy
from apps.agents.session import within
from apps.agents.threads import in_thread
from apps.approvals import grants
from apps.approvals import lifecycle as approvals
from apps.approvals.models import Grant
from apps.execution import app_budgets
from apps.execution import session as sessions
from apps.execution.app_budgets import BudgetUsedUp
from apps.execution.budget import Budget, LimitReached
from apps.execution.journal import Drained, RunJournal
from apps.execution.runtime import Runtime, Runtimes
from apps.execution.session import RunSession
from apps.execution.toolset import Deps, deferred
from apps.queue.errors import LostLease
from apps.queue.faults import Point, reach
from apps.queue.handler import Job
from apps.queue.leases import Lease
from apps.tasks import journal as transitions
from apps.tasks import lifecycle
from apps.tasks.errors import TaskError
from apps.tasks.journal import Settlement
from apps.tasks.lifecycle import Started
from apps.tasks.models import Task
from apps.tenancy.context import in_app
from apps.tenancy.models import App

log = structlog.get_logger(__name__)
_UNLIMITED = UsageLimits(request_limit=None)  # limits are `apps.execution.budget`'s
_ABOUT = ("input", "session", "tags", "metadata", "priority", "created_by")  # of a task, for conditions
_runtimes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Runtimes] = weakref.WeakKeyDictionary()


def begin(app: App, leases: Sequence[Lease], worker: str) -> list[tuple[Lease, Started]]:
    return lifecycle.begin(app, leases, worker)


async def run(job: Job) -> None:
    """Runs the task and settles its lease, whatever happens."""
    started: Started = job.payload
    structlog.contextvars.bind_contextvars(
        app=job.app.name, task=str(started.task.pk), trace_id=started.task.trace_id or started.task.pk.hex
    )
    journal = RunJournal(job, started)
    try:
        settlement = await _attempt(job, started, journal)
        if settlement is not None:
            reach(Point.RUN_ENDED)
            await journal.settle(settlement)
            reach(Point.SETTLEMENT_WRITTEN)
    except LostLease:
        log.warning("lease_lost", attempt=started.task.attempt)


async def _attempt(job: Job, started: Started, journal: RunJournal) -> Settlement | None:
    """One attempt, and how it ends. None: it is not this worker's to end."""
    task = started.task
    try:
        seconds, overtime = _time_left(task, started)
        async with asyncio.timeout(seconds) as clock:
            output = await _perform(job, started, journal)
        if isinstance(output, DeferredToolRequests):
            return approvals.ask(job.app, journal.run, deferred(output))
        assert isinstance(output, Done)
        return transitions.complete(journal.run, output.value, output.also)
    except asyncio.CancelledError:
        if job.stop == "cancel":
            return transitions.cancelled(journal.run)
        return transitions.hand_back(journal.run) if job.stop == "drain" else None
    except Drained:
        return transitions.hand_back(journal.run)
    except LimitReached as reached:
        if reached.question is not None:
            return approvals.ask(job.app, journal.run, [reached.question])
        return _failed(started, journal, _task_error(reached, journal.secrets))
    except BudgetUsedUp as used_up:
        settlement = app_budgets.settle(job.app, journal.run, started.spec, used_up)
        return settlement or _failed(started, journal, _task_error(used_up, journal.secrets))
    except LostLease:
        raise
    except Exception as error:  # noqa: BLE001 - whatever an agent, a tool or a library raises is the attempt's error
        if isinstance(error, TimeoutError) and clock.expired():
            return _failed(started, journal, overtime)
        return _failed(started, journal, _task_error(error, journal.secrets))


@dataclass(frozen=True)
class Done:
    """What the work has come to, and what else is written with that."""

    value: Any
    also: Callable[[], object] | None = None


async def _perform(job: Job, started: Started, journal: RunJournal) -> Done | DeferredToolRequests:
    spec = started.spec
    if spec.type == "function":
        session = await sessions.for_function(job, started, journal) if started.task.session else None
        return await _call_function(spec, started.task, session)
    loop = asyncio.get_running_loop()
    runtimes = _runtimes.setdefault(loop, Runtimes())
    async with runtimes.use(job.app, started, job.database) as runtime:
        journal.secrets = runtime.secrets_used
        return await _converse(runtime, job, started, journal)


async def _call_function(spec: AgentSpec, task: Task, session: RunSession | None) -> Done:
    function = handlers.load(spec.handler)
    state = await session.look() if session else None
    with within(state):
        if inspect.iscoroutinefunction(function):
            output = await function(task.input)
        else:
            output = await in_thread(function, task.input)
    try:
        value = to_jsonable_python(output, inf_nan_mode="null")
    except ValueError as error:
        raise PermanentError("output_invalid", f"the function's result is not JSON: {error}") from error
    return Done(value, session.keep(state).write if session and state is not None else None)


async def _converse(runtime: Runtime, job: Job, started: Started, journal: RunJournal) -> Done | DeferredToolRequests:
    session = await sessions.for_conversation(job, started, journal) if started.task.session else None
    asked = _prompt(started.task.input)
    said = journal.history(asked)
    prompt = None if said else asked
    earlier = session.earlier if session else []
    history = [*earlier, *said]
    known = len(history)
    budget = Budget(runtime.spec, journal, started.task.ran_seconds)
    async with runtime.agent.iter(
        prompt,
        message_history=history or None,
        deps=_deps(job, started.task, journal, session),
        usage_limits=_UNLIMITED,
    ) as run:
        async for node in run:
            if Agent.is_model_request_node(node):
                await journal.checkpoint()
                budget.before_request()
                await app_budgets.look(job, started.task)
                request_number.set(journal.request_starts(runtime.model.model_name))
                reach(Point.MODEL_ASKED)
            elif Agent.is_call_tools_node(node):
                if len(run.all_messages()) > known:
                    reach(Point.MODEL_ANSWERED)
                    journal.request_ended(run.all_messages()[known:])
                    known = len(run.all_messages())
                budget.before_calls()
        assert run.result is not None
        output = run.result.output
        said = run.all_messages()[len(earlier) :]
    if isinstance(output, DeferredToolRequests):
        return output
    also = session.add_turn(said, output) if session else None
    return Done({"text": output} if isinstance(output, str) else output, also)


def _deps(job: Job, task: Task, journal: RunJournal, session: RunSession | None) -> Deps:
    about = {name: getattr(task, name) for name in _ABOUT} | {"id": str(task.pk), "entry_point": task.entry_point or ""}

    async def grant_for(tool: str, policy: Policy) -> Grant | None:
        return await job.database.call(_covering, job.app, task, tool, policy)

    return Deps(job.app.name, task.pk, journal, about, grant_for, session)


def _covering(app: App, task: Task, tool: str, policy: Policy) -> Grant | None:
    """(Database thread.)"""
    with in_app(app):
        return grants.covering(task, tool, policy)


def _prompt(value: Any) -> str:
    """The user's message: the text of an input that is only that, else the input's JSON."""
    if isinstance(value, dict) and set(value) == {"text"} and isinstance(value["text"], str):
        return value["text"]
    return json.dumps(value, ensure_ascii=False)


def _time_left(task: Task, started: Started) -> tuple[float | None, TaskError]:
    """The seconds that this attempt may take, and what it fails with when they are over."""
    now = datetime.now(UTC)
    limits: list[tuple[float, TaskError]] = []
    if task.timeout_seconds is not None:
        seconds = task.timeout_seconds
        limits.append((seconds, TaskError("timed_out", f"the attempt took longer than {seconds:g} s", retryable=True)))
    if task.deadline is not None:
        left = (task.deadline - now).total_seconds()
        limits.append((left, TaskError("deadline_exceeded", "the task's deadline passed while it ran")))
    limits_of = started.spec.limits
    if (wall_clock := limits_of.wall_clock) is not None and limits_of.on_breach == "fail":
        error = TaskError("limit_reached", f"the run reached its limit of {wall_clock:g} s wall_clock")
        limits.append((wall_clock - task.ran_seconds, error))
    if not limits:
        return None, TaskError("timed_out", "")
    seconds, error = min(limits, key=lambda limit: limit[0])
    return max(0.0, seconds), error


def _task_error(error: Exception, secrets: Collection[str]) -> TaskError:
    failure = classify(error, secrets=secrets)
    text = scrub("".join(traceback.format_exception(error))[-8000:], secrets)
    return TaskError(failure.code, failure.message, failure.retryable, failure.retry_after, text)


def _failed(started: Started, journal: RunJournal, error: TaskError) -> Settlement:
    task = started.task
    journal.request_failed(error.message)
    if not error.retryable or task.attempt > task.max_retries:
        return transitions.fail(journal.run, error)
    return transitions.retry_later(journal.run, error, retry_delay(started.spec, task.attempt, error.retry_after))


def retry_delay(spec: AgentSpec, attempt: int, retry_after: float | None) -> float:
    """Seconds before the next attempt: exponential, at most `max_delay`, shortened at random by up to a half.

    The random part keeps tasks that failed together from coming back together; the wait is never longer than its
    setting says, and never shorter than what the other side asked for.
    """
    initial = settings.HECTOR_QUEUE_INITIAL_DELAY if spec.retry.initial_delay is None else spec.retry.initial_delay
    longest = settings.HECTOR_QUEUE_MAX_DELAY if spec.retry.max_delay is None else spec.retry.max_delay
    delay = min(longest, initial * 2.0 ** min(attempt - 1, 60))
    return max(delay * random.uniform(0.5, 1.0), retry_after or 0.0)  # noqa: S311 - jitter is no secret
