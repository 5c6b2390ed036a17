"""An App that tells a receiver on this machine what happens, and the receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from apps.queue import workers
from apps.queue.models import Worker
from apps.tenancy import secrets
from apps.tenancy.models import App
from tests.support.agents import apply, document, function
from tests.support.http_server import Answer, LocalServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
Configure = Callable[..., None]


@pytest.fixture(autouse=True)
def _may_reach_this_machine(settings: Any) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    settings.HECTOR_HTTP_ALLOW = ["127.0.0.1"]
    settings.HECTOR_PUBLIC_URL = "https://hector.example"


@pytest.fixture
def receiver() -> Iterator[LocalServer]:
    """Answers 200; a test gives it something else to say with `respond`."""
    with LocalServer(lambda _: Answer(b"thanks")) as server:
        yield server


@pytest.fixture
def worker(app: App) -> Worker:
    return workers.register(slots=4)


@pytest.fixture
def configure(app: App) -> Configure:
    """Applies a document with the agents `echo` and `refuse` and these channels."""
    secrets.put(app, "HOOK", SECRET)

    def put(*channels: dict[str, Any]) -> None:
        made = document({"echo": function("echo"), "refuse": function("refuse")})
        apply(app, made | {"notifications": list(channels)}, by="tests")

    return put


def hook(url: str, *events: str, **options: Any) -> dict[str, Any]:
    """A webhook channel of the document."""
    return {"events": list(events) or ["dead_lettered"], "url": url, "secret": "${secret:HOOK}", **options}
