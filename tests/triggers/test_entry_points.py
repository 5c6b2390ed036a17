"""`entry_points:` in the document, and what starting, pausing and removing them does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.agents.config.apply import apply, rollback
from apps.agents.config.checks import validate
from apps.agents.config.faults import ConfigInvalid
from apps.agents.config.schema import json_schema
from apps.agents.models import AgentVersion
from apps.tasks import retention
from apps.tasks.errors import InputInvalid, TooMuch
from apps.tasks.models import Event, Task
from apps.tenancy.models import App
from apps.triggers.entry_points import firing, lifecycle
from apps.triggers.errors import EntryPointActive, EntryPointGone, EntryPointPaused
from apps.triggers.models import EntryPoint, Firing
from tests.support.agents import document, function
from tests.triggers.entry_points import AGENTS, entry, events, named, put

Outcome, Cause = Firing.Outcome, Firing.Cause


def faults(entries: Any, **more: Any) -> dict[str, str]:
    with pytest.raises(ConfigInvalid) as refused:
        validate(document(AGENTS) | {"entry_points": entries} | more)
    return {fault.pointer: fault.detail for fault in refused.value.faults}


@pytest.mark.parametrize(
    ("found", "pointer", "says"),
    [
        (entry("nobody"), "/agent", "There is no `nobody` in `agents`"),
        (entry(type="pigeon"), "/trigger/type", "Must be one of"),
        ({"agent": "echo"}, "/trigger", "required"),
        (entry(colour="red"), "/trigger/colour", "is not a key here"),
        (entry() | {"inputs": 1}, "/inputs", "did you mean `input`"),
        (entry() | {"entry_node": "x"}, "/entry_node", "not available in this version"),
        (entry(priority=101), "/priority", "less than or equal to 100"),
        (entry(isolation="none"), "/isolation", "'isolated' or 'shared'"),
        (entry(input={"a": [{"b": "{% if %}"}]}), "/input/a/0/b", "This is no template"),
        (entry(input="{{ body.text }}"), "/input", "has no `body` here; there is entry_point, input"),
        (entry(session="{{ nobody }}"), "/session", "has no `nobody` here"),
        (entry(input="${secret:KEY}"), "/input", "only resolved in"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(found: Any, pointer: str, says: str) -> None:
    said = faults({"e": found})
    assert says in said[f"/entry_points/e{pointer}"], said


def test_an_agent_may_have_a_trigger_as_a_shorthand(app: App) -> None:
    short = {"agents": {"echo": function("echo", trigger={"type": "manual"})}}
    apply(app, short, by="tests")
    assert (named("echo").type, named("echo").agent) == ("manual", "echo")
    both = faults({"echo": entry()}, **short)
    assert "`entry_points` has one called `echo`" in both["/agents/echo/trigger"]
    bad = faults({}, agents={"echo": function("echo", trigger={"type": "manual", "colour": 1})})
    assert "is not a key here" in bad["/agents/echo/trigger/colour"]


def test_a_trigger_changes_nothing_about_the_agent_that_tasks_pin(app: App) -> None:
    apply(app, document({"echo": function("echo")}), by="tests")
    apply(app, document({"echo": function("echo", trigger={"type": "api"})}), by="tests")
    assert AgentVersion.objects.count() == 1


def test_an_editor_knows_the_types_of_triggers() -> None:
    schema = json_schema()
    variants = schema["$defs"]["EntryPointConfig"]["properties"]["trigger"]["oneOf"]
    assert {"api", "manual"} <= {
        schema["$defs"][variant["$ref"].rpartition("/")[2]]["properties"]["type"]["const"] if "$ref" in variant
        else variant["properties"]["type"]["const"] for variant in variants
    }  # fmt: skip


# --- Starting -------------------------------------------------------------------------------------------------------
def test_a_call_starts_a_task_of_the_agent(app: App) -> None:
    put(
        app,
        report=entry(session="s-{{ input.id }}", priority=7, input={"n": "{{ input.id }}", "t": "no {{ input.id }}"}),
    )
    made = lifecycle.trigger(app, named("report"), by="anna", input={"id": 3})
    task = Task.objects.get(pk=made.task)
    assert (task.agent, task.entry_point, task.priority) == ("echo", "report", 7)
    assert (task.input, task.session, task.created_by) == ({"n": 3, "t": "no 3"}, "s-3", "anna")
    assert (made.outcome, made.by, made.cause) == (Outcome.STARTED, "anna", Cause.API)


def test_without_a_template_the_caller_gives_the_tasks_input(app: App) -> None:
    put(app, plain=entry(), shared=entry(isolation="shared"))
    assert Task.objects.get(pk=lifecycle.trigger(app, named("plain"), by="a", input="hello").task).input == {
        "text": "hello"
    }
    task = Task.objects.get(pk=lifecycle.trigger(app, named("shared"), by="a").task)
    assert (task.input, task.session) == ({}, "shared")


@pytest.mark.parametrize(
    ("options", "value", "says"),
    [
        ({"input": "{{ input.name }}"}, {}, "asks for what is not there"),
        ({"input": "{{ [1] }}"}, {}, "must be text or an object"),
        ({"session": "{{ 'x' * 201 }}"}, {}, "it may have 200"),
        ({"agent": "typed"}, {"n": "many"}, "is not of type 'integer'"),
    ],
)
def test_an_input_that_cannot_be_starts_nothing(app: App, options: Any, value: Any, says: str) -> None:
    put(app, report=entry(**options))
    with pytest.raises(InputInvalid, match=says):
        lifecycle.trigger(app, named("report"), by="anna", input=value)
    assert not Firing.objects.exists() and not Task.objects.exists()
    [refused] = firing.fire_many(app, [firing.Start(named("report"), Cause.WEBHOOK, {"input": value}, "k")])
    assert refused.outcome == Outcome.REFUSED and says in refused.reason
    assert not Task.objects.exists()


def test_a_template_that_makes_nothing_filters(app: App) -> None:
    put(app, report=entry(input={"text": "{% if input.go %}go{% endif %}", "n": "{{ none }}"}))
    filtered = lifecycle.trigger(app, named("report"), by="anna", input={"go": False})
    assert (filtered.outcome, filtered.task) == (Outcome.FILTERED, None)
    assert lifecycle.trigger(app, named("report"), by="anna", input={"go": True}).outcome == Outcome.STARTED


def test_a_second_call_with_the_same_key_gets_the_first_record(app: App) -> None:
    put(app, report=entry(), other=entry())
    first = firing.fire(app, named("report"), cause=Cause.TIMER, data={}, key="k")
    again = firing.fire(app, named("report"), cause=Cause.TIMER, data={}, key="k")
    other = firing.fire(app, named("other"), cause=Cause.TIMER, data={}, key="k")
    assert (first.pk, first.task) == (again.pk, again.task) and other.pk != first.pk
    assert Task.objects.count() == 2
    assert [one["entry_point"] for one in events("timer_fired")] == ["report", "other"]
    assert Event.objects.get(type="timer_fired", task=first.task).payload["firing"] == str(first.pk)


def test_over_a_limit_of_the_app_what_fires_by_itself_is_skipped_and_a_caller_told(app: App) -> None:
    put(app, report=entry())
    app.limits = {"tasks": [{"limit": 2, "window": 366 * 86400}]}
    starts = [firing.Start(named("report"), Cause.TIMER, {}, key) for key in "abc"]
    *started, skipped = firing.fire_many(app, starts)
    assert [one.outcome for one in started] == [Outcome.STARTED, Outcome.STARTED]
    assert skipped.outcome == Outcome.SKIPPED and skipped.reason.startswith("The App may use 2 tasks per 366d")
    with pytest.raises(TooMuch):
        lifecycle.trigger(app, named("report"), by="anna")
    assert Task.objects.count() == 2 and Firing.objects.count() == 3


def test_the_database_refuses_a_record_with_neither_task_nor_reason(app: App) -> None:
    put(app, report=entry())
    for row in ({"outcome": "started"}, {"outcome": "skipped"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Firing.objects.create(entry_point=named("report"), cause="timer", **row)


# --- Changing -------------------------------------------------------------------------------------------------------
def test_what_leaves_the_document_starts_nothing_and_keeps_its_records(app: App) -> None:
    put(app, report=entry())
    lifecycle.trigger(app, named("report"), by="anna")
    put(app)
    gone = named("report")
    assert gone.state == EntryPoint.State.REMOVED and gone.firings.count() == 1
    for verb in (lifecycle.trigger, lifecycle.pause, lifecycle.resume):
        with pytest.raises(EntryPointGone):
            verb(app, gone, by="anna")
    rollback(app, 1, by="anna")
    assert named("report").pk == gone.pk and named("report").state == EntryPoint.State.ACTIVE


def test_a_pause_outlives_changes_of_the_document(app: App) -> None:
    put(app, report=entry())
    lifecycle.pause(app, named("report"), by="anna", reason="too much")
    lifecycle.pause(app, named("report"), by="bert", reason="far too much")
    put(app)
    put(app, report=entry(type="manual"))
    paused = named("report")
    assert (paused.state, paused.paused_by, paused.pause_reason) == ("paused", "bert", "far too much")
    with pytest.raises(EntryPointPaused, match="far too much"):
        lifecycle.trigger(app, paused, by="anna")
    lifecycle.resume(app, paused, by="anna", reason="done")
    with pytest.raises(EntryPointActive):
        lifecycle.resume(app, paused, by="anna")
    assert lifecycle.trigger(app, paused, by="anna").outcome == Outcome.STARTED
    assert events("entry_point_paused", "entry_point_resumed") == [
        {"entry_point": "report", "reason": "too much"},
        {"entry_point": "report", "reason": "far too much"},
        {"entry_point": "report", "reason": "done"},
    ]


def test_records_are_kept_as_long_as_tasks(app: App, settings: Any) -> None:
    put(app, report=entry(), other=entry())
    old, new = (lifecycle.trigger(app, named("report"), by="anna") for _ in range(2))
    put(app, report=entry())
    settings.HECTOR_RETENTION_TASKS = 86400.0
    long_ago = timezone.now() - timedelta(days=2)
    Firing.objects.filter(pk=old.pk).update(at=long_ago)
    EntryPoint.objects.filter(name="other").update(removed_at=long_ago)
    retention.prune(app)
    assert list(Firing.objects.values_list("pk", flat=True)) == [new.pk]
    assert [one.name for one in EntryPoint.objects.all()] == ["report"]
