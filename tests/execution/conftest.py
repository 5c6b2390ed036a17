"""Every test here runs real work on a real shift, so it commits."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import functions


@pytest.fixture(autouse=True)
def _functions(settings, transactional_db: None) -> Iterator[None]:  # type: ignore[no-untyped-def]
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    settings.HECTOR_GRACE = 6.0
    functions.calls.clear()
    functions.release.clear()
    functions.stopped.clear()
    yield
    functions.release.set()
