"""How many tasks of an App run at a time, however many workers there are; what happens to those that do not fit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from apps.queue import holds, leases, limits, shift, workers
from apps.queue.models import QueueEntry, Worker
from apps.tasks.models import Attempt
from apps.tenancy.models import App
from tests.queue.test_entries_and_leases import put
from tests.queue.test_holds import keys_of, states
from tests.support import agents
from tests.support.work import ended, working

pytestmark = pytest.mark.django_db(transaction=True)  # several workers, each with a connection of its own


def limit(app: App, most: int | None) -> None:
    App.objects.filter(pk=app.pk).update(max_concurrent=most)
    app.max_concurrent = most


def end(app: App, *done: leases.Lease) -> None:
    leases.finish(done)
    limits.release(app.pk)


def test_no_more_run_than_the_app_may_and_other_apps_go_on(worker: Worker, acme: App, globex: App) -> None:
    limit(acme, 2)
    ours, theirs = put(acme, 5), put(globex, 3)
    claimed = [lease for _ in range(3) for lease in leases.claim(worker.pk, 4)]
    assert len(keys_of(claimed).intersection(ours)) == 2 and keys_of(claimed) > set(theirs)
    assert states(acme) == {"leased": 2, "parked": 3}


def test_when_one_ends_the_next_one_goes_on(worker: Worker, acme: App) -> None:
    limit(acme, 1)
    first, second, urgent = put(acme)[0], put(acme)[0], put(acme, priority=5)[0]
    ran = []
    while claimed := leases.claim(worker.pk, 4):
        [lease] = claimed
        ran.append(lease.key)
        end(acme, lease)
    assert ran == [urgent, first, second]


def test_what_has_been_put_off_counts_no_more_and_counts_again_when_it_is_due(worker: Worker, acme: App) -> None:
    limit(acme, 1)
    put(acme, 2)
    [lease] = leases.claim(worker.pk, 4)
    leases.reschedule(lease, 0.0)
    limits.release(acme.pk)
    [other] = leases.claim(worker.pk, 4)
    assert leases.promote_due() == 1
    assert leases.claim(worker.pk, 4) == [] and states(acme) == {"leased": 1, "parked": 1}
    end(acme, other)
    assert keys_of(leases.claim(worker.pk, 4)) == {lease.key}


def test_what_is_no_task_is_not_held_up(worker: Worker, acme: App) -> None:
    limit(acme, 1)
    put(acme)
    messages = put(acme, 2, kind="delivery")
    claimed = leases.claim(worker.pk, 3)
    assert keys_of(claimed) > set(messages)
    put(acme)
    assert leases.claim(worker.pk, 3) == []
    leases.finish([lease for lease in claimed if lease.kind == "delivery"])
    assert limits.release(acme.pk) == 0


def test_the_slots_of_a_worker_that_died_are_free(worker: Worker, acme: App) -> None:
    limit(acme, 2)
    put(acme, 4)
    assert len(leases.claim(worker.pk, 4)) == 2
    assert workers.sign_off(worker.pk) == 2
    other = workers.register(slots=4)
    assert len(leases.claim(other.pk, 4)) == 2
    assert states(acme) == {"leased": 2, "parked": 2}


def test_a_pause_outlasts_a_free_slot_and_its_end_does_not_break_the_limit(worker: Worker, acme: App) -> None:
    limit(acme, 2)
    put(acme, 5)
    running = leases.claim(worker.pk, 4)
    holds.hold(acme, by="anna")
    end(acme, *running)
    assert states(acme) == {"parked": 3}
    holds.lift(acme, by="anna")
    assert states(acme) == {"ready": 2, "parked": 1}
    assert holds.sweep() == 0 or len(leases.claim(worker.pk, 4)) == 2


def test_the_sweep_leaves_parked_what_does_not_fit(worker: Worker, acme: App) -> None:
    limit(acme, 1)
    put(acme, 3)
    leases.claim(worker.pk, 4)
    assert holds.sweep() == 0
    assert states(acme) == {"leased": 1, "parked": 2}


def test_a_higher_limit_or_none_lets_more_go_on(worker: Worker, acme: App) -> None:
    limit(acme, 1)
    put(acme, 6)
    leases.claim(worker.pk, 4)
    limit(acme, 3)
    assert limits.release_all() == 2
    leases.claim(worker.pk, 4)
    limit(acme, None)
    assert holds.unpark(acme.pk) == 3
    assert len(leases.claim(worker.pk, 4)) == 3


def test_workers_that_claim_at_once_keep_the_limit_and_leave_nothing_behind(acme: App) -> None:
    limit(acme, 3)
    keys = put(acme, 40)
    running, most, done, lock = 0, 0, [], threading.Lock()

    def work() -> None:
        nonlocal running, most
        me = workers.register(slots=8)
        try:
            while len(done) < len(keys):
                claimed = leases.claim(me.pk, 8)
                with lock:
                    running += len(claimed)
                    most = max(most, running)
                for lease in claimed:
                    with lock:
                        running -= 1
                    end(acme, lease)
                    done.append(lease.key)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for worker in [pool.submit(work) for _ in range(4)]:
            worker.result(60)
    assert sorted(done) == sorted(keys) and most <= 3
    assert not QueueEntry.objects.exists()


def test_a_worker_starts_the_next_task_when_one_ends(app: App, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shift, "HEARTBEAT", 600.0)  # nothing but the end of a task lets another one start
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    agents.apply(app, agents.document({"echo": agents.function("echo")}), by="tests")
    limit(app, 1)
    tasks = [agents.submit(app, "echo") for _ in range(8)]
    with working(slots=4):
        for task in tasks:
            assert ended(task).status == "completed"
    times = sorted(Attempt.objects.values_list("started_at", "finished_at"))
    assert all(before[1] <= after[0] for before, after in pairwise(times))
