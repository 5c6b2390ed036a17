"""Which dead letters a page shows: read from the address, written back into it, and turned into the one filter that
lists, counts and actions share (`apps.tasks.dead_letters.LetterFilter`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone

from apps.console import filters
from apps.console.filters import WINDOWS
from apps.console.words import Count, duration, plural
from apps.tasks import dead_letters
from apps.tasks.dead_letters import Group, LetterFilter, find
from apps.tasks.models import DeadLetter

GROUPS = 50  # on a page
# How the last stretch of time is cut for a sparkline: by the window that is chosen, a week if none is.
_SPARKS = {
    "1h": (30, timedelta(minutes=2)),
    "24h": (24, timedelta(hours=1)),
    "7d": (28, timedelta(hours=6)),
    "30d": (30, timedelta(days=1)),
}


@dataclass(frozen=True)
class Letters:
    """What dead letters are narrowed to. An empty field does not narrow.

    `letter`, `after` and `up_to` stand in the address of an action: it touches what was there when it was shown,
    whatever the time, and nothing that came later.
    """

    status: str = DeadLetter.Status.OPEN.value
    fingerprint: str = ""
    agent: str = ""
    code: str = ""
    entered: str = ""  # a key of WINDOWS
    after: datetime | None = None
    up_to: int | None = None
    letter: int | None = None

    @classmethod
    def read(cls, query: QueryDict) -> Letters:
        """What an address or a form says; values that mean nothing are passed over."""
        status, entered = query.get("status", ""), query.get("entered", "")
        fingerprint, agent, code = (query.get(name, "").strip()[:100] for name in ("fingerprint", "agent", "code"))
        return cls(
            status=status if status in DeadLetter.Status.values else DeadLetter.Status.OPEN.value,
            fingerprint=fingerprint,
            agent=agent,
            code=code,
            entered=entered if entered in WINDOWS else "",
            after=filters.moment(query.get("after", "")),
            up_to=number(query.get("up_to", "")),
            letter=number(query.get("letter", "")),
        )

    def but(self, **changes: Any) -> Letters:
        return dataclasses.replace(self, **changes)

    def parameters(self) -> list[tuple[str, str]]:
        pairs = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value and value != field.default:
                pairs.append((field.name, value.isoformat() if isinstance(value, datetime) else str(value)))
        return pairs

    def wanted(self) -> LetterFilter:
        after = self.after or (timezone.now() - WINDOWS[self.entered] if self.entered else None)
        return LetterFilter(
            status=self.status,
            fingerprint=self.fingerprint,
            agent=self.agent,
            code=self.code,
            entered_after=after,
            up_to=self.up_to,
            ids=None if self.letter is None else (self.letter,),
        )

    def count(self) -> Count:
        return filters.capped(find(self.wanted()))

    @property
    def narrows(self) -> bool:
        return not self.wanted().is_empty

    @property
    def is_open(self) -> bool:
        return self.status == DeadLetter.Status.OPEN

    @property
    def url(self) -> str:
        """The list of exactly these letters."""
        return self._at("letters")

    @property
    def groups_url(self) -> str:
        return self._at("dead_letters")

    @property
    def retry_url(self) -> str:
        return self._at("letters_retry")

    @property
    def discard_url(self) -> str:
        return self._at("letters_discard")

    def _at(self, page: str) -> str:
        query = urlencode(self.parameters())
        return reverse(f"admin:{page}") + (f"?{query}" if query else "")

    def fixed(self, up_to: int | None) -> Letters:
        """The same letters, whatever the time and whatever is filed from now on."""
        return self.but(entered="", after=self.wanted().entered_after, up_to=up_to)


@dataclass(frozen=True)
class Spark:
    """A small chart: how many letters were filed when. Bars are (x, y, height) in a box of `width` by 24."""

    bars: list[tuple[int, float, float]]
    width: int
    label: str


@dataclass(frozen=True)
class GroupRow:
    group: Group
    which: Letters
    spark: Spark


@dataclass(frozen=True)
class GroupPage:
    rows: list[GroupRow]
    older: str  # the address of the next page


def groups(which: Letters, before: int | None = None) -> GroupPage:
    """Groups, the ones with the newest letters first."""
    wanted = which.wanted()
    found = dead_letters.grouped(wanted).order_by("-last")
    rows = list(found.filter(last__lt=before) if before else found)[: GROUPS + 1]
    made = described(which, dead_letters.described(rows[:GROUPS]))
    older = "?" + urlencode([*which.parameters(), ("before", rows[GROUPS - 1].last)]) if len(rows) > GROUPS else ""
    return GroupPage(made, older)


def described(which: Letters, found: Sequence[Group]) -> list[GroupRow]:
    steps, step = _SPARKS[which.entered or "7d"]
    shown = [group.fingerprint for group in found]
    histories = dead_letters.histories(which.wanted(), shown, steps=steps, step=step)
    return [
        GroupRow(group, which.but(fingerprint=group.fingerprint), _spark(histories[group.fingerprint], steps * step))
        for group in found
    ]


def one_group(which: Letters) -> GroupRow | None:
    """The group that the letters are narrowed to, if there are any of it."""
    found = dead_letters.described(list(dead_letters.grouped(which.wanted())[:1])) if which.fingerprint else []
    return next(iter(described(which, found)), None)


def _spark(history: list[int], span: timedelta) -> Spark:
    top = max(history)
    bars = [
        (index * 4, round(24 - height, 1), round(height, 1))
        for index, number in enumerate(history)
        if (height := max(2.0, 24 * number / top) if number else 0)
    ]
    return Spark(
        bars, len(history) * 4 - 1, f"{plural(sum(history), 'letter')} in the last {duration(span.total_seconds())}"
    )


def newest(which: Letters) -> QuerySet[DeadLetter]:
    return find(which.wanted()).select_related("task").defer("task__output", "task__metadata").order_by("-pk")


def number(text: str) -> int | None:
    """The id that an address names; None for what is none."""
    return int(text) if text.isdecimal() and len(text) < 19 else None
