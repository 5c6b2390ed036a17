"""Numbers and times read as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from apps.console import chart, words
from apps.console.overview import Minute

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""), (0, "0 ms"), (0.0421, "42 ms"), (1.24, "1.2 s"), (12.4, "12 s"), (59.4, "59 s"), (60, "1 min"),
        (245, "4 min 5 s"), (3600, "1 h"), (7380, "2 h 3 min"), (90_000, "1 d 1 h"), (-1, "0 ms"),
    ],
)  # fmt: skip
def test_a_length_of_time(seconds: float | None, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.5, "now"), (12.9, "in 12 s"), (-61, "1 min ago"), (-7300, "2 h ago"), (200_000, "in 2 d")]
)
def test_a_moment(seconds: float, text: str) -> None:
    assert words.relative(NOW + timedelta(seconds=seconds), NOW) == text


@pytest.mark.parametrize(("usd", "text"), [("0", "$0.00"), ("0.00123", "$0.0012"), ("1234.5", "$1,234.50")])
def test_an_amount_of_money(usd: str, text: str) -> None:
    assert words.money(usd) == text


@pytest.mark.parametrize(("highest", "top"), [(0, 2), (2, 2), (3, 4), (5, 10), (11, 20), (401, 1000)])
def test_the_charts_scale_ends_at_a_round_number(highest: int, top: int) -> None:
    drawn = chart.of([Minute(NOW, completed=highest, failed=0)])
    assert drawn.lines[0] == (0.0, top)
    assert [bar.number for bar in drawn.bars] == ([highest] if highest else [])


def test_bars_of_one_minute_stand_on_each_other() -> None:
    failed, completed = chart.of([Minute(NOW, completed=6, failed=4)]).bars
    assert failed.y + failed.height == chart.HEIGHT
    assert completed.y + completed.height == failed.y
    assert "status=failed" in failed.url
