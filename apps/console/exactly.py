"""Values exactly as they are, for people who have to decide about them: and what differs between two.

A text of one line stands in quotation marks, so that it is told from a number; what one cannot see, as characters that
turn the direction of writing, is spelled out.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from dataclasses import dataclass
from typing import Any

from apps.approvals.exact import digest
from apps.console.schema_fields import MISSING
from apps.tenancy import payloads

SHORT = 80  # characters of JSON that are shown on one line
_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}  # categories of Unicode


def exactly(value: Any) -> str:
    if payloads.hidden():
        return payloads.HIDDEN_TEXT
    if isinstance(value, str) and "\n" in value:
        return visible(value)
    line = json.dumps(value, ensure_ascii=False)
    return visible(line if len(line) <= SHORT else json.dumps(value, indent=2, ensure_ascii=False))


def glance(value: Any, length: int = 160) -> str:
    """The beginning of the same on one line."""
    if payloads.hidden():
        return payloads.HIDDEN_TEXT
    line = json.dumps(value, ensure_ascii=False)
    return visible(line if len(line) <= length else line[: length - 1] + "…")


def visible(text: str) -> str:
    return "".join(
        _spelled(ord(sign)) if unicodedata.category(sign) in _UNSEEN and sign not in "\n\t" else sign for sign in text
    )


def _spelled(number: int) -> str:
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def properties(value: Any) -> list[tuple[str, Any]] | None:
    """Of an object that may be seen, its names with their values. (A template would take a property called `items` for
    all of them.)"""
    return list(value.items()) if isinstance(value, dict) and not payloads.hidden() else None


def lines(value: Any) -> int:
    """Of a text that stands as it is, without quotation marks; 0 for anything else."""
    return value.count("\n") + 1 if isinstance(value, str) and "\n" in value else 0


@dataclass(frozen=True)
class Change:
    """What became of one value. `lines` are a diff, where a value has several."""

    name: str  # of a property, visibly; empty: the whole value
    before: str
    after: str
    lines: list[tuple[str, str]]  # added, removed, same or place (of lines that are left out); the line


def changes(before: Any, after: Any) -> list[Change]:
    """What differs, by the names of properties where both are objects."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [_change("", before, after)] if digest(before) != digest(after) else []
    pairs = {name: (before.get(name, MISSING), after.get(name, MISSING)) for name in [*before, *after]}
    return [
        _change(name, *pair) for name, pair in pairs.items() if MISSING in pair or digest(pair[0]) != digest(pair[1])
    ]


def _change(name: str, before: Any, after: Any) -> Change:
    was, now = ("(nothing)" if value is MISSING else exactly(value) for value in (before, after))
    return Change(visible(name), was, now, _diff(was.split("\n"), now.split("\n")) if "\n" in was + now else [])


def _diff(before: list[str], after: list[str]) -> list[tuple[str, str]]:
    """With some lines around what differs."""
    kinds = {"+": "added", "-": "removed", " ": "same"}
    found = list(difflib.unified_diff(before, after, lineterm=""))[
        3:
    ]  # two would name files, one says "here it begins"
    return [(kinds[line[0]], f"{line[0]} {line[1:]}") if line[0] in kinds else ("place", "…") for line in found]
