"""Running work in a test: a real shift in a thread of the test process, and waiting for what it does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import connection

from apps.approvals.models import Approval
from apps.queue import shift
from apps.tasks.models import FINAL, Task, TaskStatus

T = TypeVar("T")


def wait_for(condition: Callable[[], T], *, seconds: float = 20.0, what: str = "") -> T:
    """The first true value of the condition; an AssertionError if there is none in time.

    Looks the less often the longer it waits: most conditions open a connection, and what is waited for needs the CPU.
    """
    started = time.monotonic()
    pause = threading.Event()
    while not (value := condition()):
        waited = time.monotonic() - started
        assert waited < seconds, f"not within {seconds:g} s: {what or condition.__name__}"
        pause.wait(min(max(0.01, waited / 10), 0.2))
    return value


@contextmanager
def working(*, slots: int = 8) -> Iterator[None]:
    """A shift works meanwhile; it has drained when the block is left."""
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            shift.run(stop.is_set, slots=slots)
        except BaseException as error:  # noqa: BLE001 - reported when the block is left
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work, name="shift")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(40)
        assert not thread.is_alive(), "the shift does not stop"
    assert not failed, failed


def ended(task: Task) -> Task:
    """The task, once it has ended."""

    def look() -> bool:
        task.refresh_from_db()
        return task.status in FINAL

    wait_for(look, what=f"{task.agent} ended (it is {task.status})")
    return task


def asks(task: Task) -> list[Approval]:
    """The open approvals of the task, once it waits for a person."""

    def look() -> bool:
        task.refresh_from_db()
        return task.status == TaskStatus.INPUT_REQUIRED

    wait_for(look, what=f"{task.agent} waits for a person (it is {task.status})")
    return list(Approval.objects.filter(task=task, status="open").order_by("id"))


def event_types(task: Task) -> list[str]:
    return list(task.events.order_by("seq").values_list("type", flat=True))


def payloads(task: Task, type: str) -> list[dict[str, Any]]:
    return list(task.events.filter(type=type).order_by("seq").values_list("payload", flat=True))
