"""Keys that a test makes go with its transaction; what the process has read of them goes here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.accounts import keys, signing


@pytest.fixture(autouse=True)
def _keys_as_they_are() -> Iterator[None]:
    keys._read_at = float("-inf")
    yield
    keys._read_at = float("-inf")
    signing._signed.cache_clear()
