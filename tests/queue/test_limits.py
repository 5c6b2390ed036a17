"""How many tasks run at a time, of the installation, an App, a group, however many workers there are; what happens to
those that do not fit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from apps.queue import control, entries, holds, leases, limits, shift, workers
from apps.queue.models import QueueEntry, Worker
from apps.tasks.models import Attempt
from apps.tenancy.models import App
from tests.queue.test_entries_and_leases import put
from tests.queue.test_holds import keys_of, states
from tests.support import agents
from tests.support.work import ended, working

pytestmark = pytest.mark.django_db(transaction=True)  # several workers, each with a connection of its own


GROUP = "reports"


def limit(app: App, most: int | None, scope: str = "app") -> None:
    match scope:
        case "app":
            App.objects.filter(pk=app.pk).update(max_concurrent=most)
            app.max_concurrent = most
        case "group":
            limits.limit_group(app, GROUP, most)
        case "installation":
            control.limit(most, by="tests")


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


def test_a_group_at_its_limit_leaves_its_apps_room_to_others(worker: Worker, acme: App) -> None:
    limit(acme, 1, "group")
    limit(acme, 3)
    put(acme, 30, group=GROUP)
    others = put(acme, 2) + put(acme, 1, group="another")
    claimed = leases.claim(worker.pk, 6)
    assert keys_of(claimed) > set(others[:2]) and len(claimed) == 3
    end(acme, *[lease for lease in claimed if lease.key in others])
    assert keys_of(leases.claim(worker.pk, 6)) == {others[2]}


def test_one_that_comes_when_a_place_is_free_does_not_get_it_before_those_that_wait(worker: Worker, acme: App) -> None:
    limit(acme, 1)
    _, second, _ = put(acme, 3)
    [running] = leases.claim(worker.pk, 4)
    leases.finish([running])
    put(acme, priority=0)
    assert keys_of(leases.claim(worker.pk, 1)) == {second}, "although nobody has let it go on yet"
    limits.release(acme.pk)
    assert leases.claim(worker.pk, 4) == []


def test_one_that_is_more_urgent_gets_the_place_that_no_worker_has_taken_yet(worker: Worker, acme: App) -> None:
    limit(acme, 1)
    put(acme, 2)
    end(acme, *leases.claim(worker.pk, 4))
    assert states(acme) == {"ready": 1}
    urgent = put(acme, priority=5)
    assert keys_of(leases.claim(worker.pk, 4)) == set(urgent)
    assert states(acme) == {"leased": 1, "parked": 1}


def test_an_app_at_its_limit_has_no_more_than_its_share(worker: Worker, acme: App, globex: App) -> None:
    limit(acme, 8)
    App.objects.filter(pk=globex.pk).update(weight=9)
    globex.refresh_from_db()
    ours = set(put(acme, 60))
    put(globex, 300)
    running, ran = leases.claim(worker.pk, 10), []
    for _ in range(100):  # ten slots, and always something that waits
        done = running.pop(0)
        end(acme, done)
        ran.append(done.key)
        running += leases.claim(worker.pk, 1)
    assert 8 <= len(ours.intersection(ran)) <= 20


def test_the_installation_keeps_its_limit_and_its_order(worker: Worker, acme: App, globex: App) -> None:
    limit(acme, 2, "installation")
    put(acme, 50)
    [late] = put(globex)
    urgent = put(acme, priority=5)
    claimed = leases.claim(worker.pk, 9)
    assert len(claimed) == 2 and keys_of(claimed) > set(urgent)
    assert leases.claim(worker.pk, 9) == [] and states(acme)["ready"] + states(globex)["ready"] == 50
    turns = 0
    while late not in keys_of(claimed):
        end(acme, *claimed)
        claimed = leases.claim(worker.pk, 9)
        turns += 1
    assert turns <= 2, "the other App waits for its turn, and not for all that was there before"


def test_a_full_installation_does_not_hold_up_what_is_no_task(worker: Worker, acme: App) -> None:
    limit(acme, 1, "installation")
    put(acme, 20)
    leases.claim(worker.pk, 9)
    messages = put(acme, 2, kind="delivery", priority=entries.AHEAD)
    assert keys_of(leases.claim(worker.pk, 9)) == set(messages)


def test_the_installations_limit_can_be_changed_while_it_works(worker: Worker, acme: App) -> None:
    put(acme, 9)
    assert len(leases.claim(worker.pk, 4)) == 4
    limit(acme, 2, "installation")
    assert leases.claim(worker.pk, 4) == []
    limit(acme, 5, "installation")
    assert len(leases.claim(worker.pk, 4)) == 1
    limit(acme, None, "installation")
    assert len(leases.claim(worker.pk, 4)) == 4


def test_a_worker_that_has_not_heard_of_the_installations_limit_keeps_it(worker: Worker, acme: App) -> None:
    limit(acme, 2, "installation")
    put(acme, 9)
    assert leases.outlook().limited
    assert len(leases.claim(worker.pk, 9, limited=False)) == 2
    assert states(acme) == {"leased": 2, "ready": 7}


@pytest.mark.parametrize("scope", ["app", "group", "installation"])
def test_workers_that_claim_at_once_keep_the_limit_and_leave_nothing_behind(acme: App, scope: str) -> None:
    limit(acme, 3, scope)
    keys = put(acme, 40, group=GROUP)
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


@pytest.mark.parametrize("scope", ["app", "group", "installation"])
def test_a_worker_starts_the_next_task_when_one_ends(
    app: App, settings: Any, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    monkeypatch.setattr(shift, "HEARTBEAT", 600.0)  # nothing but the end of a task lets another one start
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    agents.apply(app, agents.document({"echo": agents.function("echo")}), by="tests")
    limit(app, 1, scope)
    tasks = [agents.submit(app, "echo", entry_point=GROUP) for _ in range(8)]
    with working(slots=4):
        for task in tasks:
            assert ended(task).status == "completed"
    times = sorted(Attempt.objects.values_list("started_at", "finished_at"))
    assert all(before[1] <= after[0] for before, after in pairwise(times))
