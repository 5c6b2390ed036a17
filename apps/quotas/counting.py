"""Counting what is used, so that everybody who counts agrees, on however many hosts.

One statement counts and compares: it adds to the window that the database's clock is in, and only where the sum stays
within the limit. So of any number of requests at once exactly as many pass as may. What is refused is not counted.

Windows are fixed, which costs one row and one look: at the edge of two windows, up to twice the limit may pass within
a short time. Budgets are counted when the money is spent already; they are looked at before the next is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from django.db import transaction

from apps.queue import sql
from apps.quotas.models import Use
from apps.quotas.rules import BUDGETS, Rule, current
from apps.tenancy.models import App

Kind, Resource = Use.Kind, Use.Resource
Key = tuple[str, int, str, str]  # resource, seconds, kind, name
Counts = Mapping[Key, tuple[int, int | None]]  # how much to add, and the limit if there is one


@dataclass(frozen=True)
class Standing:
    """A limit, and what is used of it in the present window."""

    rule: Rule
    used: int  # in units, as is
    raised_to: int
    now: int  # seconds since 1970, by the database's clock

    @property
    def allowed(self) -> int:
        return max(self.rule.limit, self.raised_to)

    @property
    def left(self) -> int:
        return max(0, self.allowed - self.used)

    @property
    def start(self) -> int:
        return self.now - self.now % self.rule.seconds

    @property
    def ends_in(self) -> int:
        """Seconds; at least 1."""
        return self.start + self.rule.seconds - self.now

    @property
    def ends_at(self) -> datetime:
        return datetime.fromtimestamp(self.start + self.rule.seconds, UTC)


@dataclass(frozen=True)
class Spent:
    """What an answer of a model has cost, in units, and whose it was."""

    caller: str
    agent: str
    tokens: int
    cost: int


class OverLimit(Exception):
    """A limit of the App, or of the token, does not let more through in the present window."""

    code = "over_limit"

    def __init__(self, standing: Standing) -> None:
        super().__init__(
            f"{standing.rule.whose} may use {standing.rule.what(standing.allowed)}, which is used up:"
            f" the next window begins at {standing.ends_at:%Y-%m-%dT%H:%M:%SZ}, in {standing.ends_in} s"
        )
        self.standing = standing


def take(rules: Iterable[Rule], resource: Use.Resource, by_agent: Mapping[str, int], *, caller: str) -> list[Standing]:
    """Counts so many against each limit of the resource; how they stand. Raises OverLimit; then nothing is counted."""
    held = [rule for rule in rules if rule.resource == resource]
    if not held:
        return []
    n = sum(by_agent.values())
    shares = {key: (units, None) for key, units in _shares(held, caller, by_agent).items()}
    counts: Counts = {**shares, **{_key(rule): (n, rule.limit) for rule in held}}
    with nullcontext() if len(counts) == 1 else transaction.atomic():
        counted = _count(counts, at_leisure=resource == Resource.REQUESTS)
        refused = [rule for rule in held if _key(rule) not in counted]
        if refused:
            raise OverLimit(max(standings(refused), key=lambda standing: standing.ends_in))
    return [Standing(rule, *counted[_key(rule)]) for rule in held]


def spend(app: App, spent: Iterable[Spent]) -> None:
    """Counts what is spent already against the budgets that there are, in the transaction that records it."""
    sums: Counter[Key] = Counter()
    for one in spent:
        rules = current(app, one.caller)
        for resource, units in ((Resource.TOKENS, one.tokens), (Resource.COST, one.cost)):
            held = [rule for rule in rules if rule.resource == resource]
            sums.update(_shares(held, one.caller, {one.agent: units}) | {_key(rule): units for rule in held})
    if sums:
        _count({key: (units, None) for key, units in sums.items()})


def raise_to(rule: Rule, start: int, units: int) -> None:
    """Lets so much be used, in the window that began then. Raised twice to the same, it is raised once."""
    sql.execute(
        f"INSERT INTO quotas_use AS kept (resource, seconds, start, kind, name, used, raised_to)"
        f" VALUES (%s, %s, %s, %s, %s, 0, %s) ON CONFLICT (resource, seconds, start, kind, name)"
        f" DO UPDATE SET raised_to = {sql.greatest('kept.raised_to', 'excluded.raised_to')}",
        [rule.resource, rule.seconds, start, rule.kind, rule.name, units],
    )


def standings(rules: Sequence[Rule]) -> list[Standing]:
    """How the limits stand now, in their order."""
    start = f"{sql.epoch()} - {sql.epoch()} %% batch.seconds"
    rows = sql.fetch_batch(
        {"n": "int", "resource": "text", "seconds": "bigint", "kind": "text", "name": "text"},
        [(number, *_key(rule)) for number, rule in enumerate(rules)],
        f"SELECT n, COALESCE(used, 0), COALESCE(raised_to, 0), {sql.epoch()} FROM batch LEFT JOIN quotas_use kept"
        f" ON kept.resource = batch.resource AND kept.seconds = batch.seconds AND kept.start = {start}"
        f" AND kept.kind = batch.kind AND kept.name = batch.name ORDER BY n",
    )
    return [Standing(rules[number], used, raised_to, now) for number, used, raised_to, now in rows]


def used_up(rules: Sequence[Rule]) -> list[Standing]:
    """The budgets of which nothing is left."""
    return [standing for standing in standings([rule for rule in rules if is_budget(rule)]) if not standing.left]


def is_budget(rule: Rule) -> bool:
    return rule.resource in BUDGETS


def _key(rule: Rule) -> Key:
    return rule.resource, rule.seconds, rule.kind, rule.name


def _shares(rules: Iterable[Rule], caller: str, by_agent: Mapping[str, int]) -> dict[Key, int]:
    """Who uses how much of what the App may: counted beside it, and held against nothing."""
    shares: dict[Key, int] = {}
    for rule in rules:
        if rule.kind == Kind.APP:
            shares[rule.resource, rule.seconds, Kind.CALLER, caller] = sum(by_agent.values())
            for agent, n in by_agent.items():
                if agent:  # a request is of none
                    shares[rule.resource, rule.seconds, Kind.AGENT, agent] = n
    return shares


def _count(counts: Counts, *, at_leisure: bool = False) -> dict[Key, tuple[int, int, int]]:
    """Adds to the counters, to each where its sum stays within its limit; (used, raised_to, now) of those.

    All who count do it in the same order, so nobody waits for somebody who waits for them. `at_leisure`: the commit
    does not wait for the disk, where this is all of it.
    """
    now = sql.epoch()
    soon = "AND set_config('synchronous_commit', 'off', true) IS NOT NULL" if at_leisure and sql.is_postgresql() else ""
    rows = sql.fetch_batch(
        {"resource": "text", "seconds": "bigint", "kind": "text", "name": "text", "n": "bigint", "most": "bigint"},
        [(*key, *counts[key]) for key in sorted(counts)],
        f"INSERT INTO quotas_use AS kept (resource, seconds, start, kind, name, used, most)"
        f" SELECT resource, seconds, {now} - {now} %% seconds, kind, name, n, most FROM batch"
        f" WHERE (most IS NULL OR n <= most) {soon}"
        f" ON CONFLICT (resource, seconds, start, kind, name)"
        f" DO UPDATE SET used = kept.used + excluded.used, most = excluded.most"
        f" WHERE excluded.most IS NULL"
        f" OR kept.used + excluded.used <= {sql.greatest('excluded.most', 'kept.raised_to')}"
        f" RETURNING resource, seconds, kind, name, used, raised_to, {now}",
    )
    return {tuple(row[:4]): tuple(row[4:]) for row in rows}
