"""The database's clock, held still."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apps.queue import sql


def stop(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """From here on it is so many seconds after 1970."""
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    monkeypatch.setattr(sql, "now", lambda: f"'{text}+00'::timestamptz" if sql.is_postgresql() else f"'{text[:-3]}'")
