"""Which tasks somebody wants to see: the filters of the API's list and of the console's.

`text` looks at the newest 10,000 tasks that the other filters leave, so its cost has a bound however many there are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Func, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast

from apps.queue import sql
from apps.tasks.models import Task
from apps.tenancy.payloads import hidden

TEXT_REACH = 10_000


@dataclass(frozen=True)
class TaskFilter:
    """All that is set must hold. `status` holds if the task has one of them."""

    status: Sequence[str] = ()
    agent: str | None = None
    session: str | None = None
    tag: str | None = None
    entry_point: str | None = None
    forked_from: UUID | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    finished_after: datetime | None = None
    finished_before: datetime | None = None
    text: str | None = None


class HasItem(Func):
    """Whether a JSON list (the first expression) holds a text (the second)."""

    arity = 2
    output_field = BooleanField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._as("({} ? {})", compiler)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self._as("EXISTS (SELECT 1 FROM JSON_EACH({}) WHERE value = {})", compiler)

    def _as(self, template: str, compiler: Any) -> tuple[str, list[Any]]:
        items, item = (compiler.compile(part) for part in self.get_source_expressions())
        return template.format(items[0], item[0]), [*items[1], *item[1]]


_LOOKUPS = {  # of the fields that one condition says
    "status": "status__in",
    "agent": "agent",
    "session": "session",
    "entry_point": "entry_point",
    "forked_from": "forked_from",
    "created_after": "created_at__gt",
    "created_before": "created_at__lt",
    "finished_after": "finished_at__gte",
    "finished_before": "finished_at__lt",
}


def search(wanted: TaskFilter) -> QuerySet[Task]:
    """The tasks of the App that fit, in no order yet."""
    conditions = {lookup: value for field, lookup in _LOOKUPS.items() if (value := getattr(wanted, field))}
    tasks = Task.objects.filter(**conditions)
    if wanted.tag:
        tasks = tasks.filter(HasItem("tags", Value(wanted.tag)))
    return _with_text(tasks, wanted.text) if wanted.text else tasks


def with_version(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """Each with its agent version, whose spec is read only if somebody asks for it."""
    return tasks.select_related("agent_version").defer("agent_version__spec")


def _with_text(tasks: QuerySet[Task], text: str) -> QuerySet[Task]:
    """The tasks whose id is, or whose input or output holds, the text; the case of ASCII letters does not matter.

    Who may not see payloads finds by id only: an answer to a guess would tell what they hold.
    """
    if hidden():
        try:
            return tasks.filter(pk=UUID(text))
        except ValueError:
            return tasks.none()
    # As the text stands in the column: PostgreSQL keeps letters beyond ASCII, Django's JSON on SQLite escapes them.
    stored = json.dumps(text, ensure_ascii=not sql.is_postgresql())[1:-1]
    reach = tasks.order_by("-pk").values("pk")[:TEXT_REACH]
    found = Q(input_text__icontains=stored) | Q(output_text__icontains=stored)
    with suppress(ValueError):
        found |= Q(pk=UUID(text))
    columns = {"input_text": Cast("input", TextField()), "output_text": Cast("output", TextField())}
    return Task.objects.alias(**columns).filter(found, pk__in=reach)
