"""The throughput chart: where its bars are. The template draws them as SVG; no script has a part in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from apps.console.overview import Minute

STEP, HEIGHT = 12, 120  # of a bar and the gap behind it; _overview.html says how much of that is bar


@dataclass(frozen=True)
class Bar:
    x: int
    y: float
    height: float
    status: str
    number: int
    start: datetime
    url: str


@dataclass(frozen=True)
class Chart:
    bars: list[Bar]
    lines: list[tuple[float, int]]  # height and number of each line of the scale
    width: int
    height: int
    completed: int
    failed: int


def of(minutes: list[Minute]) -> Chart:
    top = _round_up(max((minute.completed + minute.failed for minute in minutes), default=0))
    bars = []
    for index, minute in enumerate(minutes):
        floor = float(HEIGHT)
        for status, number in (("failed", minute.failed), ("completed", minute.completed)):
            if number:
                height = max(2.0, HEIGHT * number / top)
                floor -= height
                url = minute.tasks(status).url
                bars.append(Bar(index * STEP, round(floor, 2), round(height, 2), status, number, minute.start, url))
    return Chart(
        bars=bars,
        lines=[(0.0, top), (HEIGHT / 2, top // 2)] if top > 1 else [(0.0, top)],
        width=len(minutes) * STEP,
        height=HEIGHT,
        completed=sum(minute.completed for minute in minutes),
        failed=sum(minute.failed for minute in minutes),
    )


def _round_up(number: int) -> int:
    """The next of 2, 4, 10, 20, 40, 100 …: the top of the scale, which halves without a remainder."""
    scale = 1
    while True:
        for step in (2, 4, 10):
            if number <= step * scale:
                return step * scale
        scale *= 10
