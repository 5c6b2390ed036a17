"""What tasks are given and give: hidden from those who may not see it where it is read from the database.

A column of one of the classes here is a payload. While `shown_to` somebody who sees none, every row that is read has
`HIDDEN` in its place, whoever reads it and for whatever page, list or stream: nothing that shows one has to think of
it. Who sees no payloads changes nothing either (`apps.accounts.permissions`), so none is ever written back.

The limit: conditions of a query still meet the values themselves, so what filters by a payload has to ask `hidden`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.db import models

from apps.accounts.permissions import Caller

HIDDEN = {"hidden": True}
HIDDEN_TEXT = "(hidden)"
_hidden: ContextVar[bool] = ContextVar("payloads_hidden", default=False)


def hidden() -> bool:
    return _hidden.get()


@contextmanager
def shown_to(caller: Caller) -> Iterator[None]:
    """Rows that are read in the block are for this caller's eyes."""
    before = _hidden.set(not caller.sees_payloads)
    try:
        yield
    finally:
        _hidden.reset(before)


class _Plain:
    """In migrations a column is what Django calls it: hiding changes nothing of the database."""

    _django_path: str

    def deconstruct(self) -> Any:
        name, _, args, kwargs = super().deconstruct()  # type: ignore[misc]  # of Field, whose part this class takes
        return name, self._django_path, args, kwargs


class Payload(_Plain, models.JSONField):
    _django_path = "django.db.models.JSONField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        if value is None or not _hidden.get():
            return super().from_db_value(value, expression, connection)
        return self.without(super().from_db_value(value, expression, connection))

    def without(self, value: Any) -> Any:
        """What is left of a value for who may not see it."""
        return dict(HIDDEN)


class ErrorPayload(Payload):
    """An error may quote what it is about in its message; its code says what kind it is."""

    def without(self, value: Any) -> Any:
        return value | {"message": HIDDEN_TEXT} if isinstance(value, dict) else dict(HIDDEN)


class EventPayload(Payload):
    """Events tell everybody what happened and how long it took, and leave out with what."""

    TOLD = frozenset({
        "agent", "app", "approval", "attempt", "call", "cancel_requested", "changed", "channel", "conflict", "cost_usd",
        "decision", "delay_seconds", "delivery", "done", "entry_point", "failed", "fingerprint", "firing",
        "forked_from", "from", "from_checkpoint", "grant", "in_doubt", "input_tokens", "kind", "missing", "model",
        "name", "operation", "outcome", "output_tokens", "policy", "reason", "redelivery", "request", "resumed_from",
        "revision", "scheduled_for", "seconds", "session", "set_aside", "since", "skipped", "task", "to", "tool",
        "tool_calls", "total", "verb", "waited_seconds", "waits_for_person", "worker",
    })  # fmt: skip

    def without(self, value: Any) -> Any:
        told = {name: inner for name, inner in value.items() if name in self.TOLD}
        error = value.get("error")
        return told | ({"error": error | {"message": HIDDEN_TEXT}} if isinstance(error, dict) else {})


class PayloadText(_Plain, models.TextField):  # type: ignore[type-arg]
    _django_path = "django.db.models.TextField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return HIDDEN_TEXT if value and _hidden.get() else value


class PayloadBytes(_Plain, models.BinaryField):  # type: ignore[type-arg]
    _django_path = "django.db.models.BinaryField"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        return None if _hidden.get() else value
