"""Entry points that events start: which ones, each once and in order, and chains that end."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from apps.agents.config.faults import ConfigInvalid
from apps.queue import leases
from apps.queue.models import QueueEntry, Worker
from apps.tasks import lifecycle as tasks
from apps.tasks import outbox
from apps.tasks.events import publish
from apps.tasks.forks import fork
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Event, Subscription, Task
from apps.tenancy.models import App
from apps.triggers import reactions
from apps.triggers.entry_points import lifecycle
from apps.triggers.models import Firing
from tests.triggers.entry_points import entry, events, named, put


def on(*types: str, **options: Any) -> dict[str, Any]:
    """An entry point that waits for events."""
    return entry(type="event", event_types=list(types), **options)


@pytest.fixture(autouse=True)
def _settings(app: App, settings: Any) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]


def handed_over(app: App, worker: Worker) -> int:
    """Hands all events over as a worker does; how often that was."""
    turns = 0
    while mine := [lease for lease in leases.claim(worker.pk, 50) if lease.kind == outbox.KIND]:
        outbox.hand_over(app, mine)
        turns += 1
    return turns


def submitted(app: App, agent: str = "echo", **values: Any) -> Task:
    return tasks.submit(app, NewTask(agent, {"n": 1}, **values), by="anna")


def started(name: str) -> list[Task]:
    return list(Task.objects.filter(entry_point=name).order_by("id"))


# --- What starts --------------------------------------------------------------------------------------------------
def test_an_event_starts_each_that_waits_for_it_once_and_in_order(app: App, worker: Worker) -> None:
    put(app, a=on("custom.placed", input={"n": "{{ event.payload.data.n }}"}), b=on("custom"), c=on("dead_lettered"))
    for number in range(3):
        publish("placed", {"n": number}, by="shop")
    publish("paid", {}, by="shop")
    assert handed_over(app, worker) > 0
    assert [task.input for task in started("a")] == [{"n": 0}, {"n": 1}, {"n": 2}]
    assert (len(started("b")), started("c")) == (4, [])
    Event.objects.filter(type="custom").update(unread=True)
    outbox.queue(app)
    handed_over(app, worker)
    assert Task.objects.count() == 7, "handed over again, it starts nothing again"
    assert set(Firing.objects.values_list("cause", "outcome")) == {("event", "started")}


def test_templates_have_the_event_and_its_task(app: App, worker: Worker) -> None:
    text = "{{ event.type }} {{ event.payload.to }} {{ event.actor }} {{ task.agent }} {{ task.input.n }}"
    put(app, a=on("state_changed", input=text, session="of-{{ task.id }}"), b=on("custom.x"))
    cause = submitted(app)
    publish("x", {"y": 1}, by="shop")
    handed_over(app, worker)
    [reaction] = [task for task in started("a") if task.caused_by == cause.pk]
    assert reaction.input == {"text": "state_changed pending anna echo 1"}
    assert (reaction.session, reaction.caused_by, reaction.chain) == (f"of-{cause.pk}", cause.pk, 1)
    [other] = started("b")
    assert other.input["event"]["payload"] == {"name": "x", "data": {"y": 1}} and other.input["task"] == {}
    assert (other.caused_by, other.chain) == (None, 1)


def test_filters_narrow_what_starts_it(app: App, worker: Worker) -> None:
    put(
        app,
        nightly=entry(),
        by_agent=on("state_changed", filter_agent="typed", exclude_own=False),
        by_entry=on("state_changed", filter_entry_point=["nightly"]),
        by_node=on("custom", filter_node="review"),
    )
    submitted(app)
    submitted(app, "typed")
    lifecycle.trigger(app, named("nightly"), by="anna")
    publish("x", {}, by="shop")
    handed_over(app, worker)
    assert [task.caused_by for task in started("by_agent")] == [Task.objects.get(agent="typed").pk]
    assert [task.caused_by for task in started("by_entry")] == [started("nightly")[0].pk]
    assert started("by_node") == []


def test_its_own_tasks_start_it_no_more_unless_it_says_so(app: App, worker: Worker, settings: Any) -> None:
    settings.HECTOR_EVENT_CHAIN_DEPTH = 3
    put(app, own=on("state_changed"), loop=on("state_changed", filter_entry_point="loop", exclude_own=False))
    submitted(app)
    handed_over(app, worker)
    assert len(started("own")) == 1 and started("loop") == []
    submitted(app, entry_point="loop")
    handed_over(app, worker)
    assert [task.chain for task in started("loop")] == [0, 1, 2, 3]


def test_what_no_task_can_be_made_of_is_written_down_and_holds_nothing_up(app: App, worker: Worker) -> None:
    put(app, bad=on("custom", input="{{ task.agent }}"), none=on("custom", input=" "), good=on("custom"))
    publish("x", {}, by="shop")
    handed_over(app, worker)
    outcomes = {firing.entry_point.name: firing.outcome for firing in Firing.objects.select_related("entry_point")}
    assert outcomes == {"bad": "refused", "none": "filtered", "good": "started"}


def test_what_the_database_does_not_take_holds_up_nothing_else(app: App, worker: Worker) -> None:
    put(app, bad=on("custom", input="{{ '\\x00' }}"), good=on("custom"))
    for _ in range(2):
        publish("x", {}, by="shop")
    handed_over(app, worker)
    assert len(started("good")) == 2 and not Event.objects.filter(unread=True).exists()
    assert Firing.objects.filter(entry_point__name="bad").count() == 2


# --- While it is not there ------------------------------------------------------------------------------------------
def test_while_it_is_paused_or_gone_nothing_is_handed_over_or_made_up_for(app: App, worker: Worker) -> None:
    put(app, a=on("custom"), b=on("custom.x", "dead_lettered"))
    assert set(Subscription.objects.values_list("type", flat=True)) == {"custom", "dead_lettered"}
    lifecycle.pause(app, named("a"), by="anna")
    publish("x", {}, by="shop")
    handed_over(app, worker)
    assert (started("a"), len(started("b"))) == ([], 1)
    put(app, a=on("custom"))
    assert not Subscription.objects.exists()
    publish("x", {}, by="shop")
    assert not QueueEntry.objects.filter(kind=outbox.KIND).exists()
    lifecycle.resume(app, named("a"), by="anna")
    publish("x", {}, by="shop")
    handed_over(app, worker)
    assert len(started("a")) == 1


# --- Chains -------------------------------------------------------------------------------------------------------
def test_a_chain_of_reactions_ends_and_says_so(app: App, worker: Worker, settings: Any) -> None:
    settings.HECTOR_EVENT_CHAIN_DEPTH = 4
    put(
        app,
        ping=on("state_changed", filter_entry_point=["pong", "start"]),
        pong=on("state_changed", filter_entry_point="ping"),
        start=entry(),
    )
    lifecycle.trigger(app, named("start"), by="anna")
    handed_over(app, worker)
    assert [task.chain for task in Task.objects.order_by("id")] == [0, 1, 2, 3, 4]
    last = Firing.objects.latest("id")
    assert (last.outcome, "a chain of 4 reactions" in last.reason) == ("skipped", True)
    [cut] = events("event_chain_cut")
    assert cut == {"entry_point": "ping", "firing": str(last.pk), "reason": last.reason}


def test_a_loop_runs_no_faster_than_it_may(app: App, worker: Worker, settings: Any) -> None:
    settings.HECTOR_EVENT_CHAIN_DEPTH, settings.HECTOR_EVENT_CHAIN_RATE = 1000, 5
    put(app, loop=on("state_changed", exclude_own=False))
    submitted(app)
    handed_over(app, worker)
    assert len(started("loop")) == 5
    assert "5 times in a minute" in Firing.objects.latest("id").reason
    for _ in range(3):
        submitted(app)
    handed_over(app, worker)
    assert len(started("loop")) == 8, "what is no reaction itself is reacted to"


def test_what_waits_for_cuts_is_cut_itself_and_told_once(app: App, worker: Worker, settings: Any) -> None:
    settings.HECTOR_EVENT_CHAIN_DEPTH = 2
    put(app, loop=on("state_changed", exclude_own=False), watch=on("event_chain_cut"))
    submitted(app)
    assert handed_over(app, worker) < 20
    assert ([task.chain for task in started("loop")], started("watch")) == ([1, 2], [])
    assert [payload["entry_point"] for payload in events("event_chain_cut")] == ["loop"]
    assert Firing.objects.filter(entry_point__name="watch", outcome="skipped").count() == 1


def test_a_fork_stands_where_its_parent_does(app: App, worker: Worker) -> None:
    put(app, a=on("custom"))
    publish("x", {}, by="shop", task=submitted(app).pk)
    handed_over(app, worker)
    [reaction] = started("a")
    child = fork(app, reaction, by="anna")
    assert (child.chain, child.caused_by) == (1, reaction.caused_by)


def test_a_reaction_that_fails_to_be_written_leaves_its_event_to_be_handed_over(
    app: App, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(app, a=on("custom"))
    publish("x", {}, by="shop")

    def breaks(*_: Any) -> None:
        raise RuntimeError("out of order")

    monkeypatch.setattr(reactions, "reach", breaks)
    mine = leases.claim(worker.pk, 50)
    with pytest.raises(RuntimeError), transaction.atomic():
        outbox.hand_over(app, mine)
    assert started("a") == [] and Event.objects.filter(unread=True).count() == 1


# --- The document -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("trigger", "pointer", "says"),
    [
        ({"event_types": []}, "/event_types", "at least 1"),
        ({"event_types": ["sunrise"]}, "/event_types/0", "There is no event `sunrise`"),
        ({"event_types": ["custom.Bad"]}, "/event_types/0", "There is no event"),
        ({"event_types": ["custom"], "filter_agent": "nobody"}, "/filter_agent", "There is no `nobody` in `agents`"),
        ({"event_types": ["custom"], "filter_entry_point": ["x"]}, "/filter_entry_point", "in `entry_points`"),
        ({"event_types": ["custom"], "filters": 1}, "/filters", "is not a key here"),
    ],
)
def test_what_cannot_be_is_refused_at_its_place(app: App, trigger: Any, pointer: str, says: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        put(app, e={"agent": "echo", "trigger": {"type": "event"} | trigger})
    said = {fault.pointer: fault.detail for fault in refused.value.faults}
    assert says in said[f"/entry_points/e/trigger{pointer}"], said
