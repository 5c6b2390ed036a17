"""Limits of the installation, of Apps and of groups together, whatever happens: never more run than any of them lets,
never does a task stay parked that there is room for, and within an App and a group nobody is overtaken."""

from __future__ import annotations

from collections import Counter
from random import Random
from uuid import UUID

import pytest

from apps.queue import control, entries, holds, leases, limits, workers
from apps.queue.leases import Lease
from apps.queue.models import GroupLimit, Hold, QueueEntry
from apps.tenancy.models import App
from tests.queue.test_entries_and_leases import put

pytestmark = pytest.mark.django_db(transaction=True)  # a hold enters its App, which no transaction may do

GROUPS = ("", "reports", "webhook")
STEPS = {
    "submit": 8, "claim": 10, "end": 8, "put_off": 1, "drop": 1, "die": 1, "limit_app": 2, "limit_group": 2,
    "limit_installation": 1, "pause": 1, "resume": 2,
}  # fmt: skip


class Life:
    """Two Apps, two workers, and what each of them holds."""

    def __init__(self, dice: Random) -> None:
        self.dice = dice
        self.apps = list(App.objects.filter(name__in=["acme", "globex"]).order_by("name"))
        self.workers = [workers.register(slots=6).pk for _ in range(2)]
        self.held: list[Lease] = []
        self.happened: Counter[str] = Counter()
        self.submitted: set[UUID] = set()
        self.over: set[UUID] = set()

    def go_on(self) -> None:
        step = self.dice.choices(list(STEPS), list(STEPS.values()))[0]
        getattr(self, step)()
        self.happened[step] += 1
        self.check()

    # --- What may happen ----------------------------------------------------------------------------------------------
    def submit(self) -> None:
        group, priority = self.dice.choice(GROUPS), self.dice.choice((0, 0, 0, 5))
        self.submitted |= set(
            put(self.dice.choice(self.apps), self.dice.randint(1, 6), group=group, priority=priority, lane="agent")
        )

    def claim(self) -> None:
        was_parked = set(QueueEntry.objects.filter(state="parked").values_list("pk", flat=True))
        worker = self.dice.choice(self.workers)
        claimed = leases.claim(worker, self.dice.randint(1, 6))
        self.held += claimed
        self.check_room(claimed)
        self.check_order(claimed)
        now_parked = set(QueueEntry.objects.filter(state="parked").values_list("pk", flat=True))
        self.happened["was parked"] += len(now_parked - was_parked)

    def end(self) -> None:
        if lease := self.take_one():
            self.over |= {lease.key for _ in leases.finish([lease])}
            limits.release(lease.app_id)

    def put_off(self) -> None:
        if lease := self.take_one():
            leases.reschedule(lease, 0.0)
            limits.release(lease.app_id)
            leases.promote_due()

    def drop(self) -> None:
        """A task that waits is cancelled."""
        waiting = list(QueueEntry.objects.filter(state__in=["ready", "parked"]).select_related("app").order_by("pk"))
        if waiting:
            one = self.dice.choice(waiting)
            entries.remove(one.app, one.key)
            self.over.add(one.key)
            limits.release_all()  # the next beat of a worker

    def die(self) -> None:
        place = self.dice.randrange(len(self.workers))
        dead, self.workers[place] = self.workers[place], workers.register(slots=6).pk
        workers.sign_off(dead)
        self.held = [lease for lease in self.held if lease.worker_id != dead]
        limits.release_all()

    def limit_app(self) -> None:
        app = self.dice.choice(self.apps)
        App.objects.filter(pk=app.pk).update(max_concurrent=self.dice.choice((None, 1, 2, 3, 3)))
        holds.unpark(app.pk)

    def limit_group(self) -> None:
        app = self.dice.choice(self.apps)
        limits.limit_group(app, self.dice.choice(GROUPS[1:]), self.dice.choice((None, 1, 2)))
        holds.unpark(app.pk)

    def limit_installation(self) -> None:
        control.limit(self.dice.choice((None, None, 1, 3)), by="tests")

    def pause(self) -> None:
        holds.hold(self.dice.choice(self.apps), by="tests")

    def resume(self) -> None:
        for app in self.apps:
            holds.lift(app, by="tests")

    def take_one(self) -> Lease | None:
        return self.held.pop(self.dice.randrange(len(self.held))) if self.held else None

    # --- What must be true --------------------------------------------------------------------------------------------
    def check_room(self, claimed: list[Lease]) -> None:
        """Nothing was started above a limit. (One that was lowered just now stops nothing that runs.)"""
        use = limits.of_installation()
        assert not claimed or use.most is None or use.running <= use.most
        for entry in QueueEntry.objects.filter(pk__in=[lease.id for lease in claimed]).select_related("app"):
            for use in (limits.of_app(entry.app), limits.of_group(entry.app, entry.group)):
                assert use.most is None or use.running <= use.most

    def check_order(self, claimed: list[Lease]) -> None:
        held = set(Hold.objects.values_list("app", flat=True))
        for entry in QueueEntry.objects.filter(pk__in=[lease.id for lease in claimed]):
            before = QueueEntry.objects.filter(
                app=entry.app_id, group=entry.group, state="parked", priority__gte=entry.priority
            ).exclude(priority=entry.priority, pk__gt=entry.pk)
            assert entry.app_id in held or not before.exists(), "it has overtaken one that is parked"

    def check(self) -> None:
        """What is parked is held, or there is no room for it beside what runs and what was let go on."""
        held = set(Hold.objects.values_list("app", flat=True))
        counted = Counter(
            (entry.app_id, group)
            for entry in QueueEntry.objects.all()
            if entry.state == "leased" or entry.has_place
            for group in (None, entry.group)
        )
        most: dict[tuple[int, str | None], int] = {
            (one.app_id, one.group): one.most for one in GroupLimit.objects.all()
        }
        most |= {(app.pk, None): app.max_concurrent for app in App.objects.exclude(max_concurrent=None)}
        for entry in QueueEntry.objects.filter(state="parked").exclude(app__in=held):
            scopes = [(entry.app_id, None), (entry.app_id, entry.group)]
            assert any(scope in most and counted[scope] >= most[scope] for scope in scopes), "there is room for it"

    def come_to_rest(self) -> None:
        self.resume()
        for _ in range(10 * len(self.submitted)):
            self.claim()
            while self.held:
                self.end()
            self.check()
            if self.over == self.submitted:
                break


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(n, marks=pytest.mark.sampled()) for n in range(3, 40))])
def test_limits_hold_and_nobody_starves(seed: int) -> None:
    life = Life(Random(seed))
    for step in range(1000):
        if step >= 120 and life.happened["was parked"] > 3:
            break
        life.go_on()
    life.come_to_rest()
    assert life.over == life.submitted and not QueueEntry.objects.exists()
    assert life.happened["was parked"] > 3, f"little has happened: {life.happened}"
