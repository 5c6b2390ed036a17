"""The queue: who gets which entry, and who may still write about it."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from apps.queue import entries, leases, sql, workers
from apps.queue.entries import NewEntry
from apps.queue.errors import WorkerFenced
from apps.queue.models import QueueControl, QueueEntry, Worker
from apps.tenancy.models import App

pytestmark = pytest.mark.django_db


def put(app: App, count: int = 1, **options: object) -> list[UUID]:
    keys = [uuid4() for _ in range(count)]
    entries.enqueue(app, [NewEntry(key, **options) for key in keys])  # type: ignore[arg-type]
    return keys


def claim_in_order(worker: Worker, count: int) -> list[UUID]:
    """Claims one by one: a batch comes in no particular order."""
    return [lease.key for _ in range(count) for lease in leases.claim(worker.pk, 1)]


def test_entries_of_one_app_are_claimed_first_in_first_out(worker: Worker, acme: App) -> None:
    keys = put(acme, 5)
    assert claim_in_order(worker, 6) == keys


def test_a_higher_priority_goes_first(worker: Worker, acme: App) -> None:
    low, normal, high = put(acme, priority=-1)[0], put(acme)[0], put(acme, priority=5)[0]
    assert claim_in_order(worker, 3) == [high, normal, low]


def test_an_app_with_many_entries_does_not_starve_another(worker: Worker, acme: App, globex: App) -> None:
    put(acme, 200)
    late = put(globex)
    assert late[0] in claim_in_order(worker, 3)  # after what was next and its equal


def test_apps_share_in_proportion_to_their_weight(worker: Worker, acme: App, globex: App) -> None:
    App.objects.filter(pk=globex.pk).update(weight=3)
    globex.refresh_from_db()
    put(acme, 40)
    heavy = set(put(globex, 40))
    claimed = claim_in_order(worker, 24)
    assert 17 <= len(heavy.intersection(claimed)) <= 19


def test_an_app_that_was_idle_does_not_catch_up_on_the_past(worker: Worker, acme: App, globex: App) -> None:
    put(acme, 100)
    claim_in_order(worker, 50)
    newcomers = set(put(globex, 20))
    claimed = claim_in_order(worker, 20)
    assert 9 <= len(newcomers.intersection(claimed)) <= 11


def test_a_claim_takes_no_more_than_asked(worker: Worker, acme: App) -> None:
    put(acme, 5)
    assert len(leases.claim(worker.pk, 3)) == 3
    assert len(leases.claim(worker.pk, 3)) == 2
    assert leases.claim(worker.pk, 3) == []
    assert leases.claim(worker.pk, 0) == []


def test_a_paused_queue_gives_nothing_out(worker: Worker, acme: App) -> None:
    put(acme)
    QueueControl.objects.update(paused=True)
    assert leases.claim(worker.pk, 1) == []
    QueueControl.objects.update(paused=False)
    assert len(leases.claim(worker.pk, 1)) == 1


def test_an_entry_for_later_is_not_claimed_before_its_time(worker: Worker, acme: App) -> None:
    [key] = put(acme, run_at=timezone.now() + timedelta(hours=1))
    assert leases.promote_due() == 0
    assert leases.claim(worker.pk, 1) == []
    due_in = leases.outlook().due_in
    assert due_in is not None and 3590 < due_in < 3600.01  # SQLite's julian days are that exact
    QueueEntry.objects.update(run_at=timezone.now() - timedelta(seconds=1))
    assert leases.outlook().due_in == 0.0
    assert leases.promote_due() == 1
    assert [lease.key for lease in leases.claim(worker.pk, 1)] == [key]


def test_a_key_is_queued_once(acme: App) -> None:
    [key] = put(acme)
    with pytest.raises(IntegrityError), transaction.atomic():
        entries.enqueue(acme, [NewEntry(key)])


def test_the_same_key_in_two_apps_is_two_entries(acme: App, globex: App) -> None:
    [key] = put(acme)
    entries.enqueue(globex, [NewEntry(key)])
    assert entries.remove(acme, key)
    assert QueueEntry.objects.get().app == globex


def test_each_claim_raises_the_epoch(worker: Worker, acme: App) -> None:
    put(acme, epoch=7)
    [first] = leases.claim(worker.pk, 1)
    leases.give_back([first])
    [second] = leases.claim(worker.pk, 1)
    assert (first.epoch, second.epoch) == (8, 9)


def test_a_settlement_with_an_older_epoch_is_refused(worker: Worker, acme: App) -> None:
    put(acme)
    [old] = leases.claim(worker.pk, 1)
    leases.give_back([old])
    [new] = leases.claim(worker.pk, 1)
    assert leases.finish([old]) == set()
    assert leases.give_back([old]) == set()
    assert not leases.reschedule(old, 1.0)
    assert QueueEntry.objects.get().epoch == new.epoch
    assert leases.finish([new]) == {new.id}


def test_a_settlement_by_another_worker_is_refused(worker: Worker, acme: App) -> None:
    put(acme)
    [lease] = leases.claim(worker.pk, 1)
    forged = leases.Lease(lease.id, lease.app_id, lease.kind, lease.key, lease.epoch, worker.pk + 1)
    assert leases.finish([forged]) == set()
    assert QueueEntry.objects.count() == 1


def test_a_group_settles_those_that_are_still_owned(worker: Worker, acme: App) -> None:
    put(acme, 3)
    claimed = leases.claim(worker.pk, 3)
    entries.remove(acme, claimed[1].key)
    assert leases.finish(claimed) == {claimed[0].id, claimed[2].id}


def test_a_rescheduled_entry_waits_by_the_clock_of_the_database(worker: Worker, acme: App) -> None:
    put(acme)
    [lease] = leases.claim(worker.pk, 1)
    assert leases.reschedule(lease, 90.0)
    due_in = leases.outlook().due_in
    assert due_in is not None and 88 < due_in < 90.01


def test_only_the_owner_is_asked_to_cancel(worker: Worker, acme: App) -> None:
    first, second = put(acme, 2)
    assert not entries.request_cancel(acme, first)
    claimed = {lease.key: lease for lease in leases.claim(worker.pk, 2)}
    assert entries.request_cancel(acme, second)
    assert leases.cancel_requests(worker.pk) == {claimed[second].id}
    assert leases.cancel_requests(worker.pk + 1) == set()


def test_a_worker_that_signs_off_gives_its_leases_back(worker: Worker, acme: App) -> None:
    put(acme, 3)
    leases.claim(worker.pk, 2)
    assert workers.sign_off(worker.pk) == 2
    other = workers.register(slots=4)
    assert len(leases.claim(other.pk, 9)) == 3


def test_a_worker_without_heartbeat_loses_its_leases_and_is_told(worker: Worker, acme: App, settings: object) -> None:
    put(acme)
    [lease] = leases.claim(worker.pk, 1)
    assert workers.sign_off_stale() == 0
    sql.execute(f"UPDATE queue_worker SET heartbeat_at = {sql.later()}", [-301])
    assert workers.sign_off_stale() == 1
    with pytest.raises(WorkerFenced):
        workers.beat(worker.pk)
    assert leases.finish([lease]) == set()


def test_a_beating_worker_is_never_stale_however_long_its_work_takes(worker: Worker, acme: App) -> None:
    put(acme)
    leases.claim(worker.pk, 1)
    sql.execute(f"UPDATE queue_queueentry SET leased_at = {sql.later()}", [-100_000])
    sql.execute(f"UPDATE queue_worker SET heartbeat_at = {sql.later()}", [-299])
    workers.beat(worker.pk)
    assert workers.sign_off_stale() == 0


def test_a_worker_whose_process_is_gone_is_given_up_at_once(acme: App) -> None:
    gone = Worker.objects.create(host=workers.host_name(), pid=2**22 + 1, version="0", slots=1)
    elsewhere = Worker.objects.create(host="another-host", pid=2**22 + 1, version="0", slots=1)
    put(acme)
    leases.claim(gone.pk, 1)
    assert workers.sign_off_dead_processes() == 1
    elsewhere.refresh_from_db()
    assert elsewhere.stopped_at is None


@pytest.mark.parametrize(
    "impossible",
    [
        {"state": "leased"},
        {"state": "scheduled", "run_at": None},
        {"state": "running"},
    ],
)
def test_the_database_refuses_impossible_entries(acme: App, impossible: dict[str, object]) -> None:
    put(acme)
    with pytest.raises(IntegrityError), transaction.atomic():
        QueueEntry.objects.update(**impossible)
        connection.check_constraints()
