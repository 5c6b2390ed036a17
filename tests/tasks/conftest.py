"""Tasks without a worker: transitions called as a worker or an operator calls them."""

from __future__ import annotations

import pytest

from apps.queue import workers
from apps.queue.models import Worker
from apps.tenancy.models import App
from tests.support.agents import apply, document, function


@pytest.fixture(autouse=True)
def _agents(app: App, settings) -> None:  # type: ignore[no-untyped-def]
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    schema = {"type": "object", "properties": {"order": {"type": "integer"}}, "required": ["order"]}
    apply(app, document({"agent": function("echo"), "strict": function("echo", input_schema=schema)}), by="tests")


@pytest.fixture
def worker() -> Worker:
    return workers.register(slots=4)
