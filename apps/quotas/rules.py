"""Limits and budgets, as they are written down, and which of them hold for whom.

They are kept as JSON with an App, and with an App's token (`App.limits`, `Credential.limits`):

    {"requests": [{"limit": 100, "window": 60}], "cost_usd": [{"limit": 5.0, "window": 86400, "on_breach": "ask"}]}

Windows are fixed: each begins at a multiple of its length since 1970 (UTC), by the database's clock.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from apps.quotas.models import Use
from apps.tenancy import tokens
from apps.tenancy.connection import connection
from apps.tenancy.models import App
from hector_site.env import duration

Kind, Resource = Use.Kind, Use.Resource
BUDGETS: Final = (Resource.TOKENS, Resource.COST)  # known only when it is spent: they hold before the next request
WAIT, ASK, FAIL = "wait", "ask", "fail"
ON_BREACH: Final = (WAIT, ASK, FAIL)
_PER_DOLLAR = 10**9
_READ_SECONDS = 1.0  # for so long, a worker believes what it has read of an App's limits
_MOST_READ = 10_000

Limits = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Rule:
    """One limit of the App, or of one of its tokens (`name` is the caller's)."""

    kind: Use.Kind
    name: str
    resource: Use.Resource
    limit: int  # in units
    seconds: int
    on_breach: str = ""  # of a budget

    @property
    def window(self) -> str:
        return duration(self.seconds)

    def what(self, units: int | None = None) -> str:
        """`100 requests per 1m`; or another amount of it."""
        number = amount(self.resource, self.limit if units is None else units)
        if self.resource == Resource.COST:
            return f"${number:,.10g} per {self.window}"
        return f"{number:,} {self.resource.removesuffix('s') if number == 1 else self.resource.value} per {self.window}"

    @property
    def whose(self) -> str:
        return "the App" if self.kind == Kind.APP else f"the token of {self.name}"


def units(resource: str, value: float | Decimal) -> int:
    return round(Decimal(str(value)) * _PER_DOLLAR) if resource == Resource.COST else int(value)


def amount(resource: str, counted: int) -> int | float:
    return counted / _PER_DOLLAR if resource == Resource.COST else counted


def rules_of(kind: Use.Kind, name: str, limits: Limits) -> list[Rule]:
    return [
        Rule(
            kind, name, Resource(resource), units(resource, one["limit"]), int(one["window"]), one.get("on_breach", "")
        )
        for resource, several in limits.items()
        for one in several
    ]


def applying(app: App, caller: str) -> list[Rule]:
    """What holds for what the caller does in the App; costs nothing where nothing does."""
    of_app = rules_of(Kind.APP, "", app.limits) if app.limits else []
    limits = tokens.limits_of(caller)
    return of_app + rules_of(Kind.CALLER, caller, limits) if limits else of_app


_read: dict[tuple[int, str], tuple[float, list[Rule]]] = {}  # by App and caller, with the time that they were read


def known(app: App, caller: str) -> list[Rule] | None:
    """For a worker, whose App is as it was when the task began: what `current` has read within the last second."""
    found = _read.get((app.pk, caller))
    return None if found is None or time.monotonic() - found[0] >= _READ_SECONDS else found[1]


def current(app: App, caller: str) -> list[Rule]:
    """For a worker: what applies now, or did a second ago."""
    if (found := known(app, caller)) is not None:
        return found
    if len(_read) >= _MOST_READ:
        _read.clear()
    with connection.shared_tables_only():
        limits = App.objects.filter(pk=app.pk).values_list("limits", flat=True).first()
    found = applying(App(pk=app.pk, limits=limits or {}), caller)
    _read[app.pk, caller] = time.monotonic(), found
    return found


def forget() -> None:
    """After a change: this process looks again at once."""
    _read.clear()


def changed(limits: Limits, asked: Mapping[str, Sequence[Mapping[str, Any]] | None]) -> dict[str, Any]:
    """The limits as somebody wants them: resources that they do not name stay; none, or null, removes them."""
    return {resource: list(several) for resource, several in {**limits, **asked}.items() if several}


# --- For people -----------------------------------------------------------------------------------------------------
def as_json(limits: Limits) -> dict[str, Any]:
    """With windows as they are written (`1m`)."""
    return {
        resource: [{**one, "window": duration(one["window"])} for one in several]
        for resource, several in limits.items()
    }


def as_text(several: Sequence[Mapping[str, Any]]) -> str:
    """As `from_text` reads it."""
    return ", ".join(
        f"{one['limit']:.10g}/{duration(one['window'])}" + (f":{one['on_breach']}" if "on_breach" in one else "")
        for one in several
    )


def from_text(text: str) -> list[dict[str, Any]]:
    """`100/1m, 5000/1d`, and of a budget `50/1d:ask`, as the body of a request has it; nothing of it is checked yet.

    Raises ValueError.
    """
    found = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        number, slash, rest = part.partition("/")
        window, colon, on_breach = rest.partition(":")
        try:
            limit: float = int(number) if number.strip().isdecimal() else float(number)
        except ValueError:
            slash = ""
        if not slash or (colon and not on_breach.strip()):
            raise ValueError(f"{part!r} is no limit: write a number, / and a window, as in 100/1m")
        found.append({"limit": limit, "window": window.strip()} | ({"on_breach": on_breach.strip()} if colon else {}))
    return found
