"""Numbers and times as people read them: "1.2 s", "4 min", "in 12 s", "1,000+"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def duration(seconds: float | None) -> str:
    """A length of time, to the precision that matters; nothing for None."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    for size, unit in _UNITS:
        if whole >= size:
            return f"{whole // size} {unit}" + _rest(whole % size, size)
    return f"{whole} s"


def _rest(seconds: int, of: int) -> str:
    """The next smaller unit, while it still says something."""
    if of == 60:
        return f" {seconds} s" if seconds else ""
    size, unit = next(pair for pair in _UNITS if pair[0] < of)
    return f" {seconds // size} {unit}" if seconds >= size else ""


def relative(at: datetime, now: datetime) -> str:
    """How long ago, or in how long."""
    seconds = (at - now).total_seconds()
    if abs(seconds) < 1:
        return "now"
    return f"in {_rough(seconds)}" if seconds > 0 else f"{_rough(-seconds)} ago"


def _rough(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"


def money(usd: str | float | Decimal) -> str:
    """US dollars, with enough digits to tell small amounts apart."""
    amount = Decimal(str(usd))
    return f"${amount:,.2f}" if amount == 0 or amount >= 1 else f"${amount:.4f}"


@dataclass(frozen=True)
class Count:
    """A number of rows, counted no further than a cap."""

    number: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.more else ''}"

    def __bool__(self) -> bool:
        return self.number > 0


def plural(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def sentence(error: Exception) -> str:
    """What an error says, as a sentence of its own."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".")
