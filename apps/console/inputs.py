"""A task's input as a person edits it: text where it is text, else JSON."""

from __future__ import annotations

import json
from typing import Any


def is_text(value: Any) -> bool:
    """`{"text": "…"}` is how a plain text is stored."""
    return isinstance(value, dict) and set(value) == {"text"} and isinstance(value["text"], str)


def as_text(value: Any) -> str:
    text: str = value["text"] if is_text(value) else json.dumps(value, indent=2, ensure_ascii=False)
    return text


def read(text: str, *, like: Any) -> Any:
    """What somebody has written in place of that input, in the same form. Raises ValueError for what is no JSON."""
    text = text.replace("\r\n", "\n")  # browsers send lines so
    return {"text": text} if is_text(like) else json.loads(text)
