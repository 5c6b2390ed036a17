"""Which tasks a page shows: read from the address, written back into it, and turned into one query.

Every count of tasks on every page is made by `capped` from a `Filter`, and links to the list of the same filter.
"""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from apps.console.words import Count
from apps.queue import sql
from apps.tasks.models import Task, TaskStatus

CAP = 1000
SEARCHED = 10_000  # a search by text looks at so many of the newest tasks
WINDOWS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
WINDOW_LABELS = {"1h": "Last hour", "24h": "Last 24 hours", "7d": "Last 7 days", "30d": "Last 30 days"}
_ID_PREFIX = re.compile(r"[0-9a-f]{6,32}")


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
            finished_after=_moment(query.get("finished_after", "")),
            finished_before=_moment(query.get("finished_before", "")),
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
        """The tasks, the newest first. Indexes serve status, agent, session and finish time."""
        tasks = Task.objects.order_by("-id")
        exact = {"agent": self.agent, "session": self.session, "entry_point": self.entry_point}
        tasks = tasks.filter(**{name: value for name, value in exact.items() if value})
        if self.status:
            tasks = tasks.filter(status__in=self.status)
        if self.created:
            tasks = tasks.filter(pk__gte=_first_id(timezone.now() - WINDOWS[self.created]))
        if self.finished_after:
            tasks = tasks.filter(finished_at__gte=self.finished_after)
        if self.finished_before:
            tasks = tasks.filter(finished_at__lt=self.finished_before)
        if self.tag:
            tasks = _tagged(tasks, self.tag)
        return _matching(tasks, self.q) if self.q else tasks

    @property
    def searches_text(self) -> bool:
        return bool(self.q) and _id_range(self.q) is None


def capped(tasks: QuerySet[Any]) -> Count:
    """How many rows there are, counted to CAP and no further, however many millions there are."""
    number = tasks.order_by()[: CAP + 1].count()
    return Count(min(number, CAP), more=number > CAP)


def count(which: Filter) -> Count:
    return capped(which.tasks())


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text)
    except ValueError:
        return None
    return moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC)


def _first_id(at: datetime) -> UUID:
    """The least id that a task made at that time can have: a UUIDv7 begins with its milliseconds."""
    return UUID(int=int(at.timestamp() * 1000) << 80)


def _tagged(tasks: QuerySet[Task], tag: str) -> QuerySet[Task]:
    if sql.is_postgresql():
        return tasks.filter(tags__contains=[tag])
    where = "EXISTS (SELECT 1 FROM json_each(tasks_task.tags) AS tag WHERE tag.value = %s)"
    return tasks.extra(where=[where], params=[tag])  # noqa: S610 - SQLite's JSON has no `contains` in the ORM


def _matching(tasks: QuerySet[Task], text: str) -> QuerySet[Task]:
    """By the beginning of an id, or by text in the input of the newest tasks."""
    if (ids := _id_range(text)) is not None:
        return tasks.filter(pk__range=ids)
    escaped = json.dumps(text, ensure_ascii=not sql.is_postgresql())[1:-1]
    newest = tasks[:SEARCHED].values("pk")
    return Task.objects.order_by("-id").filter(pk__in=newest).filter(
        Q(input__icontains=escaped) | Q(session__icontains=text) | Q(agent__icontains=text)
    )


def _id_range(text: str) -> tuple[UUID, UUID] | None:
    prefix = text.lower().replace("-", "")
    if not _ID_PREFIX.fullmatch(prefix):
        return None
    return UUID(prefix.ljust(32, "0")), UUID(prefix.ljust(32, "f"))
