"""What the commands write: for people, in colours where a terminal shows them, or as JSON.

Whatever a model, a tool or a user has produced is text: characters that a terminal would obey are shown as `�`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

STYLES = {
    "pending": "bright_black",
    "running": "blue",
    "input_required": "yellow",
    "completed": "green",
    "failed": "red",
    "cancelled": "bright_black",
    "paused": "yellow",
    "active": "green",
}
_OBEYED = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
LONGEST = 200  # characters of a value in a line


def plain(text: str) -> str:
    return _OBEYED.sub("�", text)


def short(value: Any) -> str:
    """A value in a line."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = " ".join(plain(text).split())
    return f"{text[:LONGEST]}…" if len(text) > LONGEST else text


class Screen:
    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._err = Console(file=sys.stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def write(self, text: str, style: str = "") -> None:
        self._out.print(Text(plain(text), style=style))

    def note(self, text: str) -> None:
        """Beside the result, for people only."""
        if not self.as_json:
            self._err.print(Text(plain(text), style="bright_black"))

    def complain(self, text: str) -> None:
        self._err.print(Text(plain(text), style="red"))

    def record(self, record: BaseModel) -> None:
        """As JSON."""
        self._dump(record.model_dump(mode="json", by_alias=True))

    def records(self, records: Iterable[BaseModel]) -> None:
        self._dump({"results": [record.model_dump(mode="json", by_alias=True) for record in records]})

    def line(self, record: BaseModel) -> None:
        """As one line of JSON, at once."""
        print(json.dumps(record.model_dump(mode="json", by_alias=True), ensure_ascii=False), flush=True)

    def value(self, value: Any) -> None:
        """A result: text as it is, anything else as JSON."""
        is_text = isinstance(value, dict) and set(value) == {"text"} and isinstance(value["text"], str)
        self.write(value["text"] if is_text else json.dumps(value, ensure_ascii=False, indent=2))

    def table(self, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Columns as wide as they need; a terminal shows of the last one what fits."""
        cells = [list(heads), *([plain(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)][:-1]
        for number, row in enumerate(cells):
            line = Text(style="" if number else "bold")
            for cell, width in zip(row, [*widths, 0], strict=True):
                line.append(cell.ljust(width), STYLES.get(cell, ""))
                line.append("  ")
            line.rstrip()
            if self._out.is_terminal:
                self._out.print(line, no_wrap=True, overflow="ellipsis")
            else:
                self._out.print(line, soft_wrap=True)

    def waiting(self, text: str) -> AbstractContextManager[Any]:
        """Shows that something goes on, where somebody watches."""
        return self._err.status(plain(text)) if self._err.is_terminal and not self.as_json else nullcontext()

    def _dump(self, value: Any) -> None:
        print(json.dumps(value, ensure_ascii=False, indent=2))
