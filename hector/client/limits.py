"""What an App and the token may use in a window of time, and have used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from hector.client.calls import Call, Group, Record, operation
from hector.client.connection import Async, Sync

C = TypeVar("C", Sync, Async)
# By resource: {"limit", "window"} each, of a budget with "on_breach"; None: none.
NewLimits = Mapping[str, Sequence[Mapping[str, Any]] | None]


class Limit(Record):
    """So much in each window, which is a text such as `1m`."""

    limit: int
    window: str


class TokenBudget(Limit):
    """`on_breach`: `wait`, `ask` or `fail`."""

    on_breach: str


class MoneyBudget(Record):
    """The same in US dollars."""

    limit: float
    window: str
    on_breach: str


class Limits(Record):
    requests: list[Limit] = []
    tasks: list[Limit] = []
    tokens: list[TokenBudget] = []
    cost_usd: list[MoneyBudget] = []


class LimitUse(Record):
    """One limit in the present window. `of`: `app`, or `token` for one of the token's own."""

    of: str
    resource: str
    window: str
    limit: float
    raised: float
    used: float
    remaining: float
    resets_at: datetime
    on_breach: str | None


class LimitUses(Record):
    limits: list[LimitUse]


class LimitGroup(Group[C]):
    @operation("list_limits")
    def get(self) -> Call[LimitUses]:
        return Call(LimitUses, "GET", "/limits")
