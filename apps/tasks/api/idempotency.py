"""`Idempotency-Key`: however often a POST is sent, it makes one task, or one event.

The key is kept with what it made, in the transaction that makes it; its unique constraint decides between two requests
at once. A key is good for `HECTOR_IDEMPOTENCY_PERIOD` (24 h), within its App; its task is kept for as long
(`apps.tasks.retention`).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from apps.tasks.models import Event, IdempotencyKey, Task

Made = TypeVar("Made", Task, Task | None, Event)
_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


class KeyReused(Exception):
    """This Idempotency-Key came with another body before; a new request needs a new key."""

    code = "idempotency_key_reused"


def key_of(request: Request) -> str | None:
    """Raises ParseError for a key that is none."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise ParseError("The Idempotency-Key must be 1 to 255 printable ASCII characters.")
    return key


def once(key: str | None, request: Request, make: Callable[[], Made]) -> tuple[Made, bool]:
    """What `make` makes, or what it made when this key came first; whether it is the latter.

    The key stays free where it makes none.

    Raises KeyReused.
    """
    if key is None:
        return make(), False
    digest = _digest(request)
    first: Any = _first(key, digest)
    if first is not None:
        return first, True
    try:
        with transaction.atomic():
            IdempotencyKey.objects.filter(key=key, created_at__lte=_oldest()).delete()
            made = make()
            if made is not None:
                kind = "event" if isinstance(made, Event) else "task"
                IdempotencyKey.objects.create(key=key, digest=digest, **{kind: made})
    except IntegrityError:  # another request with this key committed first
        first = _first(key, digest)
        if first is None:
            raise
        return first, True
    return made, False


def _first(key: str, digest: str) -> Task | Event | None:
    """What the key made before: the digest is also of the path, so it is what such a request makes."""
    found = (
        IdempotencyKey.objects.select_related("task__agent_version", "event__task")
        .defer("task__agent_version__spec")
        .filter(key=key, created_at__gt=_oldest())
        .first()
    )
    if found is None:
        return None
    if found.digest != digest:
        raise KeyReused("This Idempotency-Key came with another body before; use a new key.")
    return found.task or found.event


def _oldest() -> datetime:
    moment: datetime = timezone.now() - settings.HECTOR_IDEMPOTENCY_PERIOD
    return moment


def _digest(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{request.method} {request.path}\n{body}".encode()).hexdigest()
