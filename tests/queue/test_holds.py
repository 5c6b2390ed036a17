"""Pausing an App or an agent: what it does to what runs and waits, and what happens to what becomes due meanwhile."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from django.utils import timezone

from apps.queue import entries, holds, leases, sql, workers
from apps.queue.entries import NewEntry
from apps.queue.models import Hold, QueueEntry, Worker
from apps.tasks.models import Event
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.queue.test_entries_and_leases import claim_in_order, put

pytestmark = pytest.mark.django_db(transaction=True)  # a hold enters its App, which no transaction may do


def states(app: App) -> dict[str, int]:
    found: dict[str, int] = {}
    for state in QueueEntry.objects.filter(app=app).values_list("state", flat=True):
        found[state] = found.get(state, 0) + 1
    return found


def keys_of(found: list[leases.Lease]) -> set[UUID]:
    return {lease.key for lease in found}


def test_what_waits_is_parked_and_what_runs_goes_on(worker: Worker, acme: App, globex: App) -> None:
    put(acme, 5)
    running = leases.claim(worker.pk, 2)
    [other] = put(globex)
    effect = holds.hold(acme, by="anna", reason="maintenance")
    assert (effect.running, effect.waiting, effect.scheduled) == (2, 3, 0)
    assert effect.sentence == "2 tasks run on to their end; 3 wait."
    assert states(acme) == {"leased": 2, "parked": 3}
    assert keys_of(leases.claim(worker.pk, 9)) == {other}
    assert leases.finish(running) == {lease.id for lease in running}
    assert not leases.outlook().ready


def test_only_the_lane_that_is_held_waits(worker: Worker, acme: App) -> None:
    put(acme, 2, lane="clerk")
    free = put(acme, 2, lane="echo")
    holds.hold(acme, "clerk", by="anna")
    assert keys_of(leases.claim(worker.pk, 9)) == set(free)
    assert states(acme) == {"leased": 2, "parked": 2}


def test_what_becomes_due_while_held_is_parked(worker: Worker, acme: App) -> None:
    put(acme, 3, lane="clerk")
    given_back, put_off, crashed = leases.claim(worker.pk, 3)
    holds.hold(acme, "clerk", by="anna")
    put(acme, lane="clerk")
    put(acme, lane="clerk", run_at=timezone.now() - timedelta(seconds=1))
    leases.give_back([given_back])
    leases.reschedule(put_off, 0.0)
    leases.promote_due()
    workers.sign_off(worker.pk)
    assert states(acme) == {"parked": 5}
    assert QueueEntry.objects.get(pk=crashed.id).state == "parked"


def test_an_entry_that_slipped_by_is_parked_by_the_claim_and_the_next_one_is_taken(
    worker: Worker, acme: App, globex: App
) -> None:
    put(acme, 3)
    Hold.objects.create(app=acme)  # as seen by a claim before the entries are parked
    [other] = put(globex)
    assert keys_of(leases.claim(worker.pk, 2)) == {other}
    assert states(acme) == {"parked": 3}
    assert QueueEntry.objects.filter(app=acme, worker=None, leased_at=None).count() == 3


def test_a_resumed_app_goes_on_in_order(worker: Worker, acme: App) -> None:
    keys = put(acme, 4)
    urgent = put(acme, priority=5)
    holds.hold(acme, by="anna")
    keys += put(acme, 2)
    assert leases.claim(worker.pk, 9) == []
    holds.lift(acme, by="anna")
    assert claim_in_order(worker, 9) == urgent + keys


def test_a_resumed_app_does_not_catch_up_on_the_past(worker: Worker, acme: App, globex: App) -> None:
    held = set(put(acme, 40))
    holds.hold(acme, by="anna")
    put(globex, 200)
    claim_in_order(worker, 100)
    holds.lift(acme, by="anna")
    assert 8 <= len(held.intersection(claim_in_order(worker, 20))) <= 12


def test_an_agent_of_a_held_app_stays_held_when_it_alone_is_resumed(worker: Worker, acme: App) -> None:
    put(acme, lane="clerk")
    put(acme, lane="echo")
    holds.hold(acme, by="anna")
    holds.hold(acme, "clerk", by="otto")
    holds.lift(acme, "clerk", by="otto")
    assert leases.claim(worker.pk, 9) == []
    holds.hold(acme, "clerk", by="otto")
    holds.lift(acme, by="anna")
    assert [lease.key for lease in leases.claim(worker.pk, 9)] == list(
        QueueEntry.objects.filter(lane="echo").values_list("key", flat=True)
    )


def test_lifting_what_is_not_held_does_nothing(acme: App) -> None:
    put(acme)
    holds.lift(acme, by="anna")
    assert states(acme) == {"ready": 1}


def test_a_second_hold_changes_the_reason(acme: App) -> None:
    holds.hold(acme, by="anna", reason="first")
    holds.hold(acme, by="otto", reason="second")
    found = holds.of(acme)
    assert found is not None and (found.actor, found.reason) == ("otto", "second")


def test_large_lanes_are_parked_and_freed_in_batches(acme: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holds, "BATCH", 3)
    put(acme, 10)
    holds.hold(acme, by="anna")
    assert states(acme) == {"parked": 10}
    holds.lift(acme, by="anna")
    assert states(acme) == {"ready": 10}


def test_the_sweep_frees_what_no_hold_keeps(acme: App, globex: App) -> None:
    put(acme, 2)
    put(globex, 1)
    holds.hold(globex, by="anna")
    QueueEntry.objects.filter(app=acme).update(state="parked")  # by a process that died while it lifted the hold
    assert holds.sweep() == 2
    assert (states(acme), states(globex)) == ({"ready": 2}, {"parked": 1})


def test_a_parked_entry_is_taken_out_like_any_other(acme: App) -> None:
    [key] = put(acme)
    holds.hold(acme, by="anna")
    assert entries.remove(acme, key)


def test_the_cost_of_a_claim_does_not_grow_with_what_is_parked(worker: Worker, acme: App, globex: App) -> None:
    """The plan of a claim reads the index of ready entries, whatever is parked."""
    if not sql.is_postgresql():
        pytest.skip("SQLite's partial index is the only way it has")
    put(acme, 3000)
    holds.hold(acme, by="anna")
    entries.enqueue(globex, [NewEntry(UUID(int=1))])
    sql.execute("ANALYZE queue_queueentry")
    plan = sql.fetch(
        "EXPLAIN SELECT id FROM queue_queueentry WHERE state = 'ready' ORDER BY priority DESC, tag, id LIMIT 8"
    )
    assert "queue_ready" in str(plan), plan


def test_who_paused_what_and_why_is_in_the_audit_trail_of_the_app(acme: App) -> None:
    holds.hold(acme, by="anna", reason="maintenance")
    holds.hold(acme, "clerk", by="otto")
    holds.lift(acme, by="anna")
    with in_app(acme):
        written = list(Event.objects.values_list("type", "actor", "payload", "task"))
    assert written == [
        ("state_changed", "anna", {"app": "acme", "to": "paused", "reason": "maintenance"}, None),
        ("state_changed", "otto", {"agent": "clerk", "to": "paused"}, None),
        ("state_changed", "anna", {"app": "acme", "to": "resumed"}, None),
    ]
