"""A worker without a process, and two Apps seen from outside, as a claim sees them."""

from __future__ import annotations

import pytest

from apps.queue import workers
from apps.queue.models import Worker
from apps.tenancy.models import App


@pytest.fixture
def worker() -> Worker:
    return workers.register(slots=4)


@pytest.fixture
def acme() -> App:
    return App.objects.get(name="acme")


@pytest.fixture
def globex() -> App:
    return App.objects.get(name="globex")
