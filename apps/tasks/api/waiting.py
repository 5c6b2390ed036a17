"""Answers that take long: the share of the server's threads that they may hold, and waiting for a task to rest."""

from __future__ import annotations

import re
import select
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from socket import MSG_PEEK, socket
from uuid import UUID

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from rest_framework.request import Request

from apps.tasks.models import FINAL, Task, TaskStatus
from hector_site.drain import draining

LONGEST_WAIT = 60.0  # seconds
RESTING = (*FINAL, TaskStatus.INPUT_REQUIRED)
_WAIT = re.compile(r"(?:^|[,;\s])wait=\"?(\d{1,9})\"?\s*(?:$|[,;])", re.IGNORECASE)
_FIRST_PAUSE, _LONGEST_PAUSE, _GROWTH = 0.01, 0.25, 1.5


class Share:
    """How many of this process's threads may be held by long answers at a time."""

    def __init__(self, size: int) -> None:
        self._free = threading.BoundedSemaphore(size)

    def take(self) -> bool:
        return self._free.acquire(blocking=False)

    def give_back(self) -> None:
        self._free.release()

    @contextmanager
    def taken(self) -> Iterator[bool]:
        """Whether there was a place; it is given back at the end."""
        got = self.take()
        try:
            yield got
        finally:
            if got:
                self.give_back()


@cache
def long_answers() -> Share:
    return Share(settings.HECTOR_WEB_STREAMS)


def wait_asked(prefer: str) -> int | None:
    """The seconds that a `Prefer` header asks to wait, at most 60; None if it asks for nothing that is understood."""
    match = _WAIT.search(prefer)
    return min(int(match[1]), round(LONGEST_WAIT)) if match else None


def pauses() -> Iterator[float]:
    """Waits between looks at something that may change soon: short at first, then longer."""
    pause = _FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * _GROWTH, _LONGEST_PAUSE)


def rests_within(task_id: UUID, seconds: float, client: socket | None = None) -> bool:
    """Waits until the task has ended or needs a person.

    False if it did not in time, or if nobody waits any more: this server is stopping, or the client has gone.
    """
    deadline = time.monotonic() + seconds
    for pause in pauses():
        if Task.objects.filter(pk=task_id, status__in=RESTING).exists():
            return True
        left = deadline - time.monotonic()
        if left <= 0 or draining() or has_gone(client):
            return False
        release_connection()
        time.sleep(min(pause, left))
    return False


def client_socket(request: Request | HttpRequest) -> socket | None:
    """The connection that the request came by, where the server (gunicorn) tells."""
    found = request.META.get("gunicorn.socket")
    return found if isinstance(found, socket) else None


def has_gone(client: socket | None) -> bool:
    """Whether the client has closed the connection, which one would else find out only by writing to it."""
    if client is None:
        return False
    look = select.poll()
    look.register(client, select.POLLIN)
    try:
        return bool(look.poll(0)) and client.recv(1, MSG_PEEK) == b""
    except OSError:
        return True


def release_connection() -> None:
    """Lends this thread's database connection to others for as long as it is not needed, where there is a pool."""
    if connection.settings_dict["OPTIONS"].get("pool"):
        connection.close()
