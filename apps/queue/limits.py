"""How many tasks run at a time, on all hosts together: in the installation, of an App, of a named group of its tasks.

A limit of an App (`App.max_concurrent`) or a group (`GroupLimit`; the tasks of an entry point are one): what does not
fit would be in the way of work that does, so whoever has claimed it parks it, under a lock of the App's row, before it
begins. Whoever ends such a task lets the next ones go on, under the same lock, by priority and then first in, first
out. Those keep their place (`has_place`) until a worker takes them, so that nothing which came later gets it; their
turn among the Apps comes when it would have come anyway.

The limit of the installation (`QueueControl.max_concurrent`): what does not fit is in nobody's way, since nothing else
could run in its stead. It stays in line, where priorities and weights are kept, and a claim takes no more tasks than
there is room for. Of what several claims took at once, the surplus is put back, under a lock of the control's row.

A group's tasks that wait for people count as well if it says so (`GroupLimit.count_waiting`).

What frees a place otherwise (a worker died, an operator raised a limit, a task was cancelled before a worker took it)
is seen by the next beat of a worker. Only tasks count: messages, timers and the like are not held up.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.queue import entries, sql
from apps.queue.entries import held, last_tag, next_tag, wake
from apps.queue.models import GroupLimit
from apps.tenancy.models import App

KIND = "task"  # of the entries that count
_RUNNING = f"state = 'leased' AND worker_id IS NOT NULL AND kind = '{KIND}'"  # `queue_leased` serves it


@dataclass(frozen=True)
class Candidate:
    """A task in line."""

    id: int
    group: str
    priority: int
    tag: float
    goes_on: bool = False  # its place was kept for it (`keep_place`)

    @property
    def turn(self) -> tuple[bool, int, int]:
        """Within its App, the lowest first."""
        return not self.goes_on, -self.priority, self.id


# --- The installation -----------------------------------------------------------------------------------------------
def installation_is_limited() -> str:
    """The SQL of whether the whole installation has a limit."""
    return "EXISTS (SELECT 1 FROM queue_queuecontrol WHERE max_concurrent IS NOT NULL)"


def within_installation(following: str) -> str:
    """The SQL of whether an entry of `following`, the next ones in line, is no task, or one that there is room for."""
    taken = f"(SELECT COUNT(*) FROM queue_queueentry WHERE {_RUNNING})"
    room = f"(SELECT {sql.greatest(f'max_concurrent - {taken}', '0')} FROM queue_queuecontrol)"
    return (
        f"CASE WHEN {installation_is_limited()} THEN queue_queueentry.kind <> '{KIND}' OR queue_queueentry.id IN ("
        f" SELECT id FROM {following} WHERE kind = '{KIND}' ORDER BY priority DESC, tag, id LIMIT {room})"
        f" ELSE TRUE END"
    )


def beyond_installation(claimed: Sequence[Candidate]) -> set[int]:
    """Which of these, leased just now, are more than the installation may run; for the transaction that puts them
    back."""
    lock = " FOR NO KEY UPDATE" if sql.is_postgresql() else ""
    [(most,)] = sql.fetch(f"SELECT max_concurrent FROM queue_queuecontrol{lock}")
    over = 0 if most is None else running() - most
    by_turn = sorted(claimed, key=lambda one: (-one.priority, one.tag, one.id))
    return {one.id for one in by_turn[-over:]} if over > 0 else set()


# --- An App and its groups ------------------------------------------------------------------------------------------
def is_limited(entry: str = "queue_queueentry") -> str:
    """The SQL of whether an entry counts to a limit of its App, or of its group."""
    return (
        f"({entry}.kind = '{KIND}' AND (EXISTS (SELECT 1 FROM tenancy_app"
        f" WHERE tenancy_app.id = {entry}.app_id AND tenancy_app.max_concurrent IS NOT NULL)"
        f" OR ({entry}.group_name <> '' AND EXISTS (SELECT 1 FROM queue_grouplimit"
        f" WHERE queue_grouplimit.app_id = {entry}.app_id AND queue_grouplimit.group_name = {entry}.group_name))))"
    )


@dataclass(frozen=True)
class Use:
    """What runs, and how much may."""

    running: int
    most: int | None  # None: any number

    @property
    def is_full(self) -> bool:
        return self.most is not None and self.running >= self.most


def of_installation() -> Use:
    return Use(running(), sql.fetch("SELECT max_concurrent FROM queue_queuecontrol")[0][0])


def of_app(app: App) -> Use:
    return Use(running(app.pk), app.max_concurrent)


def of_group(app: App, group: str) -> Use:
    found = GroupLimit.objects.filter(app=app, group=group).first()
    return Use(running(app.pk, group) + (found.waiting if found else 0), found.most if found else None)


def running(app_id: int | None = None, group: str | None = None) -> int:
    """How many tasks are leased, of the App and the group if they are named."""
    # `+` keeps the indexes of all of the App away.
    of = (" AND +app_id = %s" if app_id is not None else "") + (" AND group_name = %s" if group is not None else "")
    params = [one for one in (app_id, group) if one is not None]
    [(count,)] = sql.fetch(f"SELECT COUNT(*) FROM queue_queueentry WHERE {_RUNNING}{of}", params)
    return int(count)


def limit_group(app: App, group: str, most: int | None, *, count_waiting: bool = False) -> bool:
    """From the commit on so many tasks of the group run at a time; `apps.queue.holds.unpark` lets more go on then.

    `count_waiting`: what waits for people counts, too, as `set_waiting` says. Whether that changes anything.
    """
    there = GroupLimit.objects.filter(app=app, group=group)
    if most is None:
        return there.delete()[0] > 0
    if there.filter(most=most, count_waiting=count_waiting).exists():
        return False
    wanted: dict[str, Any] = {"most": most, "count_waiting": count_waiting, "waiting": 0}
    GroupLimit.objects.update_or_create(app=app, group=group, defaults=wanted)
    return True


def lock_groups_that_count_waiting(app: App) -> list[str]:
    """Nobody else says how many of them wait until the transaction ends."""
    found = GroupLimit.objects.select_for_update().filter(app=app, count_waiting=True).order_by("group")
    return list(found.values_list("group", flat=True))


def set_waiting(app: App, group: str, waiting: int) -> None:
    """So many tasks of the group wait for people, from the commit on; `release` when there are fewer."""
    GroupLimit.objects.filter(app=app, group=group).exclude(waiting=waiting).update(waiting=waiting)


def keep_place(app: App, key: UUID) -> None:
    """A task that counted while it waited goes on before any other one gets its place."""
    sql.execute(
        "UPDATE queue_queueentry SET has_place = TRUE, goes_on = TRUE"
        " WHERE app_id = %s AND kind = %s AND key = %s AND state = 'ready'",
        [app.pk, KIND, sql.uid(key)],
    )


def surplus(app_id: int, claimed: Sequence[Candidate]) -> set[int]:
    """Which of these, leased just now, do not fit, or have others before them; for the transaction that parks them."""
    return _arrange(app_id, claimed)[0]


def release(app_id: int) -> int:
    """To be called when tasks have ended: makes as many parked ones ready as fit and nothing holds; how many."""
    with transaction.atomic():
        released = _arrange(app_id, [])[1]
        if released or sql.fetch(f"SELECT {installation_is_limited()}")[0][0]:
            wake()
    return released


def release_all() -> int:
    """The same for every App that has a limit and parked tasks; how many."""
    apps = sql.fetch(
        "SELECT id FROM tenancy_app WHERE (max_concurrent IS NOT NULL"
        " OR EXISTS (SELECT 1 FROM queue_grouplimit WHERE app_id = tenancy_app.id)) AND EXISTS ("
        " SELECT 1 FROM queue_queueentry WHERE app_id = tenancy_app.id AND state = 'parked' AND kind = %s)",
        [KIND],
    )
    return sum(release(app_id) for (app_id,) in apps)


class _Rooms:
    """How many more tasks an App and its limited groups may run; below 0 if too many do."""

    def __init__(self, whole: float, groups: dict[str, float], weight: int) -> None:
        self.whole, self.groups, self.weight = whole, groups, weight

    def of(self, group: str) -> float:
        return min(self.whole, self.groups.get(group, math.inf))

    def take(self, group: str, count: int = 1) -> None:
        self.whole -= count
        if group in self.groups:
            self.groups[group] -= count


def _arrange(app_id: int, claimed: Sequence[Candidate]) -> tuple[set[int], int]:
    """Gives the App's places to those that are first in line: what was claimed, what has a place, what is parked.

    Returns which of the claimed ones are not among them, and how many parked ones were made ready.
    """
    rooms = _rooms(app_id, [one.id for one in claimed])
    if rooms is None:
        return set(), 0
    left_out: set[int] = set()
    released = 0
    line = deque(sorted([*claimed, *_placed(app_id)], key=lambda one: one.turn))
    parked = _first_parked(app_id, rooms)
    while line or parked:
        if parked and (not line or parked[0].turn < line[0].turn):
            going = _let_go(app_id, rooms, parked[0], before=min(one.turn for one in (*parked[1:], *line, _LAST)))
            rooms.take(parked[0].group, going)
            released += going
        else:
            one = line.popleft()
            if rooms.of(one.group) < 1:
                left_out.add(one.id)
                continue
            rooms.take(one.group)
            if not parked or rooms.of(parked[0].group) >= 1:
                continue
        parked = _first_parked(app_id, rooms)
    _displace(left_out.difference(one.id for one in claimed))
    return left_out, released


_LAST = Candidate(2**63 - 1, "", -(2**15) - 1, 0.0)  # after all others


def _rooms(app_id: int, claimed: Sequence[int]) -> _Rooms | None:
    """What there is beside those that were claimed just now; None without a limit. Locks the App's row.

    The lock is the one that does not keep anybody from submitting to the App.
    """
    lock = " FOR NO KEY UPDATE" if sql.is_postgresql() else ""
    rows = sql.fetch(f"SELECT max_concurrent, weight FROM tenancy_app WHERE id = %s{lock}", [app_id])
    groups: dict[str, float] = dict(
        sql.fetch("SELECT group_name, most - waiting FROM queue_grouplimit WHERE app_id = %s", [app_id])
    )
    if not rows or (rows[0][0] is None and not groups):
        return None
    others = f" AND id NOT IN ({sql.placeholders(len(claimed))})" if claimed else ""
    rooms = _Rooms(math.inf if rows[0][0] is None else rows[0][0], groups, rows[0][1])
    for group, count in sql.fetch(
        f"SELECT group_name, COUNT(*) FROM queue_queueentry WHERE {_RUNNING} AND +app_id = %s{others}"
        f" GROUP BY group_name",
        [app_id, *claimed],
    ):
        rooms.take(group, count)
    return rooms


def _placed(app_id: int) -> list[Candidate]:
    """Those that were let go on and that no worker has taken yet. (`queue_place` serves it.)"""
    rows = sql.fetch(
        "SELECT id, group_name, priority, tag, goes_on FROM queue_queueentry"
        " WHERE state = 'ready' AND has_place AND app_id = %s",
        [app_id],
    )
    return [Candidate(*row) for row in rows]


def _first_parked(app_id: int, rooms: _Rooms) -> list[Candidate]:
    """Of the parked ones for which there is room the first, and the first of another group.

    `queue_parked` serves it: a step from group to group, however much is parked. (What a hold keeps is passed over.)
    """
    if rooms.whole < 1:
        return []
    full = [group for group, room in rooms.groups.items() if room < 1]
    which, params = f"NOT IN ({sql.placeholders(len(full))})" if full else "IS NOT NULL", full
    if rooms.whole == math.inf:  # the others' are not ours to release
        params = [group for group in rooms.groups if group not in full]
        which = f"IN ({sql.placeholders(len(params))})" if params else "IS NULL"
    groups = (
        "SELECT MIN(group_name) FROM queue_queueentry WHERE state = 'parked' AND app_id = %s"
        " UNION ALL SELECT (SELECT MIN(group_name) FROM queue_queueentry"
        " WHERE state = 'parked' AND app_id = %s AND group_name > name) FROM groups WHERE name IS NOT NULL"
    )
    first = (
        f"SELECT id FROM queue_queueentry WHERE state = 'parked' AND {_WAITS} AND group_name = name"
        f" ORDER BY priority DESC, id LIMIT 1"
    )
    rows = sql.fetch(
        f"WITH RECURSIVE groups (name) AS ({groups}) SELECT id, group_name, priority, tag FROM queue_queueentry"
        f" WHERE id IN (SELECT ({first}) FROM groups WHERE name {which}) ORDER BY priority DESC, id LIMIT 2",
        [app_id, app_id, app_id, *params],
    )
    return [Candidate(*row) for row in rows]


_WAITS = f"app_id = %s AND kind = '{KIND}' AND NOT {held('queue_queueentry.app_id', 'queue_queueentry.lane')}"


def _let_go(app_id: int, rooms: _Rooms, first: Candidate, *, before: tuple[bool, int, int]) -> int:
    """Makes ready what fits of the first one's group, in its order and up to the turn `before`; how many.

    A tag from long ago would put them before other Apps' work: they stand where the queue is now. One from afar would
    put them behind what their App has submitted and run since: they come after what it has in the queue.
    """
    turn = f"{last_tag('entry.app_id', 'entry.priority')} + entry.n / {float(rooms.weight)}"
    return entries.unpark(
        f"{_WAITS} AND group_name = %s AND (priority > %s OR (priority = %s AND id < %s))",
        [app_id, first.group, -before[1], -before[1], before[2]],
        sql.greatest(next_tag("entry.priority"), sql.least("entry.tag", turn)),
        most=int(rooms.of(first.group)),
        has_place=True,
    )


def _displace(placed: set[int]) -> None:
    """Takes their place from those that no worker has taken: there is no room for them any more."""
    if placed:
        sql.execute(
            f"UPDATE queue_queueentry SET state = 'parked', has_place = FALSE"
            f" WHERE state = 'ready' AND has_place AND id IN ({sql.placeholders(len(placed))})",
            list(placed),
        )
