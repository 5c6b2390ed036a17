"""Budgets of an App and of a token, in real runs: what is counted, and what becomes of tasks when one is used up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from django.test.utils import CaptureQueriesContext

from apps.approvals import lifecycle as approvals
from apps.console import why
from apps.quotas import counting, rules
from apps.quotas.models import Use
from apps.quotas.rules import amount
from apps.tasks import budgets, lifecycle
from apps.tasks.errors import TooMuch
from apps.tasks.integrity import complaints
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Attempt, Task, TaskStatus
from apps.tenancy import tokens
from apps.tenancy.connection import connection
from apps.tenancy.models import App, Credential
from tests.support import functions
from tests.support.agents import apply, call, function_tool, one_llm_agent, scripted, submit
from tests.support.people import ANNA
from tests.support.work import asks, ended, payloads, wait_for, working

LONG = 366 * 86400  # seconds: no window ends in a test
DONE = {"text": "Done."}
PRICE = {"input": 1_000_000, "output": 1_000_000}  # of a million: a dollar each


@pytest.fixture(autouse=True)
def _agent(app: App, _functions: None) -> None:
    """Two requests to the model, with a tool between them; a dollar a word."""
    llm = scripted(call("look_up", order="7"), DONE, price=PRICE)
    apply(app, one_llm_agent(tools={"look_up": function_tool("look_up")}, llm=llm), by="tests")


def limit(app: App, **asked: float) -> None:
    """`tokens=5` or `cost_usd=5`, and what is done then: `wait`, `ask` or `fail`."""
    on_breach = asked.pop("on_breach", "wait")
    limits: dict[str, Any] = {
        name: [{"limit": value, "window": LONG, "on_breach": on_breach}] for name, value in asked.items()
    }
    app.limits = budgets.set_limits(app, limits, by="operator").limits


def used(kind: str, resource: str) -> float:
    [row] = Use.objects.filter(kind=kind, resource=resource)
    return amount(resource, row.used)


def test_what_models_cost_is_counted_for_the_app_its_agents_and_whoever_gave_the_task(app: App) -> None:
    limit(app, tokens=10**6, cost_usd=10**6)
    task = submit(app)
    with working():
        ended(task)
    tokens_used = task.usage["input_tokens"] + task.usage["output_tokens"]
    assert tokens_used > 3 and task.usage["requests"] == 2
    for kind in ("app", "caller", "agent"):
        assert used(kind, "tokens") == tokens_used
        assert used(kind, "cost_usd") == float(task.usage["cost_usd"]) == tokens_used
    assert dict(Use.objects.values_list("kind", "name").distinct()) == {"app": "", "caller": "tests", "agent": "agent"}


def test_a_task_is_put_off_until_the_window_ends_and_goes_on_when_the_budget_is_raised(app: App) -> None:
    limit(app, tokens=1)
    task = submit(app)
    with working():
        wait_for(lambda: Attempt.objects.filter(task=task).exists(), what="it is put off")
        task.refresh_from_db()
        assert (task.status, task.attempt, task.usage["requests"]) == (TaskStatus.PENDING, 0, 1)
        [standing] = counting.standings(rules.applying(app, "tests"))
        assert isinstance(task.next_attempt_at, datetime)
        assert abs((task.next_attempt_at - standing.ends_at).total_seconds()) < 5
        assert payloads(task, "execution_paused")[0]["reason"] == "the App has used up its budget of 1 token per 366d"
        sentence = why.sentence(app, task)
        assert "Put off until" in sentence and "its budget of 1 token per 366d" in sentence
        with pytest.raises(TooMuch, match="may use 1 token per 366d, which is used up"):
            submit(app)
        limit(app, tokens=10**6)
        ended(task)
    assert (task.status, task.output, functions.calls["look_up"]) == (TaskStatus.COMPLETED, DONE, 1)
    assert list(Attempt.objects.filter(task=task).values_list("outcome", flat=True)) == ["released", "completed"]
    assert complaints(app) == []


def test_many_who_ask_for_the_same_budget_raise_it_once(app: App) -> None:
    limit(app, cost_usd=1, on_breach="ask")
    first, second = submit(app), submit(app)
    with working():
        [one], [other] = asks(first), asks(second)
        assert (one.kind, one.call, one.arguments["value"]) == ("budget", "budget:cost_usd", 1)
        assert one.arguments["raise_to"] == other.arguments["raise_to"] or first.usage != second.usage
        highest = max(one.arguments["raise_to"], other.arguments["raise_to"])
        assert f"Approving raises it to ${one.arguments['raise_to']:,.10g} per 366d for all" in one.prompt
        for approval in (one, other):
            approvals.decide(app, approval, "approve", by=ANNA)
        [standing] = counting.standings(rules.applying(app, "tests"))
        assert amount("cost_usd", standing.allowed) == highest
        wait_for(lambda: Task.objects.exclude(status__in=["running", "pending"]).count() == 2, what="they rest again")
    assert functions.calls["look_up"] == 2


def test_a_budget_that_nobody_raises_fails_the_task(app: App) -> None:
    limit(app, tokens=1, on_breach="ask")
    task = submit(app)
    with working():
        [approval] = asks(task)
        approvals.decide(app, approval, "reject", by=ANNA, comment="enough")
        ended(task)
    assert task.error is not None and task.error["code"] == "budget_used_up"
    said = "a budget of the App is used up at 1 tokens, and anna did not raise it: enough"
    assert task.error["message"].endswith(said)
    assert complaints(app) == []


def test_a_budget_can_fail_what_runs_and_let_nothing_in(app: App) -> None:
    limit(app, tokens=1, on_breach="fail")
    task = submit(app)
    with working():
        ended(task)
    assert task.error == {
        "code": "budget_used_up",
        "message": "the App has used up its budget of 1 token per 366d",
        "retryable": False,
    }
    assert task.usage["requests"] == 1, "what was under way is paid for"
    with pytest.raises(TooMuch):
        submit(app)


def test_the_budget_of_a_token_holds_its_tasks_and_nobody_elses(app: App) -> None:
    tokens.issue_app_token("acme", limits={"tokens": [{"limit": 1, "window": LONG, "on_breach": "fail"}]})
    actor = f"app:acme/{Credential.objects.get().key[:8]}"
    mine, other = lifecycle.submit(app, NewTask("agent", "go"), by=actor), submit(app)
    with working():
        ended(mine)
        ended(other)
    assert mine.error is not None and mine.error["message"].startswith(f"the token of {actor} has used up its budget")
    assert other.status == TaskStatus.COMPLETED
    assert dict(Use.objects.values_list("kind", "name")) == {"caller": actor}
    with pytest.raises(TooMuch):
        lifecycle.submit(app, NewTask("agent", "go"), by=actor)


def test_where_there_is_no_budget_a_run_asks_for_none_and_counts_nothing(app: App) -> None:
    with CaptureQueriesContext(connection) as seen:
        task = submit(app)
    with working():
        ended(task)
    assert not [query for query in seen.captured_queries if "quotas" in query["sql"]]
    assert not Use.objects.exists()


def test_the_same_raise_twice_is_one_and_a_later_window_has_none(app: App) -> None:
    limit(app, tokens=10)
    [rule] = rules.applying(app, "tests")
    [before] = counting.standings([rule])
    for _ in range(2):
        counting.raise_to(rule, before.start, 30)
    counting.raise_to(rule, before.start, 20)
    counting.raise_to(rule, before.start - LONG, 90)
    [after] = counting.standings([rule])
    assert (after.allowed, after.left) == (30, 30)
