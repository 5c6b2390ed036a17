"""Which tasks a page shows: read from the address, written back into it, and turned into one query.

Every count of tasks on every page is made by `capped` from a `Filter`, and links to the list of the same filter.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.console.words import Count
from apps.tasks.models import Task, TaskStatus
from apps.tasks.search import TaskFilter, search

CAP = 1000
WINDOWS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
WINDOW_LABELS = {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days"}
_ID_PREFIX = re.compile(r"0[0-9a-f]{5,31}")  # a UUIDv7 of this century begins with 0


@dataclass(frozen=True)
class Filter:
    """What the list of tasks is narrowed to. An empty field does not narrow."""

    status: tuple[str, ...] = ()
    agent: str = ""
    session: str = ""
    tag: str = ""
    entry_point: str = ""
    created: str = ""  # a key of WINDOWS
    finished_after: datetime | None = None
    finished_before: datetime | None = None
    q: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> Filter:
        """What an address says; values that mean nothing are passed over."""
        texts = {name: query.get(name, "").strip()[:200] for name in ("agent", "session", "tag", "entry_point", "q")}
        created = query.get("created", "")
        return cls(
            status=tuple(status for status in TaskStatus.values if status in query.getlist("status")),
            created=created if created in WINDOWS else "",
            finished_after=moment(query.get("finished_after", "")),
            finished_before=moment(query.get("finished_before", "")),
            **texts,
        )

    def but(self, **changes: Any) -> Filter:
        return dataclasses.replace(self, **changes)

    def parameters(self) -> list[tuple[str, str]]:
        pairs = [("status", status) for status in self.status]
        for field in dataclasses.fields(self)[1:]:
            value = getattr(self, field.name)
            if value:
                text = value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
                pairs.append((field.name, text))
        return pairs

    @property
    def url(self) -> str:
        """The list of exactly these tasks."""
        query = urlencode(self.parameters())
        return reverse("admin:tasks") + (f"?{query}" if query else "")

    def tasks(self) -> QuerySet[Task]:
        """The tasks, the newest first. Indexes serve id, status, agent, session and finish time."""
        ids = _id_range(self.q)
        wanted = TaskFilter(
            status=self.status,
            agent=self.agent,
            session=self.session,
            tag=self.tag,
            entry_point=self.entry_point,
            finished_after=self.finished_after,
            finished_before=self.finished_before,
            text=None if ids else self.q,
        )
        tasks = search(wanted).order_by("-id")
        if ids:
            tasks = tasks.filter(pk__range=ids)
        if self.created:
            tasks = tasks.filter(pk__gte=first_id(timezone.now() - WINDOWS[self.created]))
        return tasks

    @property
    def searches_text(self) -> bool:
        return bool(self.q) and _id_range(self.q) is None


def capped(tasks: QuerySet[Any]) -> Count:
    """How many rows there are, counted to CAP and no further, however many millions there are."""
    number = tasks.order_by()[: CAP + 1].count()
    return Count(min(number, CAP), more=number > CAP)


def count(which: Filter) -> Count:
    return capped(which.tasks())


def moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def first_id(at: datetime) -> UUID:
    """The least id that something made at that time can have: a UUIDv7 begins with its milliseconds."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def _id_range(text: str) -> tuple[UUID, UUID] | None:
    """The ids that begin with what looks like the beginning of one."""
    prefix = text.lower().replace("-", "")
    if not _ID_PREFIX.fullmatch(prefix):
        return None
    return UUID(prefix.ljust(32, "0")), UUID(prefix.ljust(32, "f"))
