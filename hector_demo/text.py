"""A durable job without a model: the demo's `wordcount` agent."""

from __future__ import annotations

from collections import Counter
from typing import Any


def count_words(task_input: dict[str, Any]) -> dict[str, Any]:
    """Counts the words of `text`; what it returns is the task's output."""
    words = str(task_input.get("text", "")).lower().split()
    return {"words": len(words), "different": len(set(words)), "most_common": dict(Counter(words).most_common(3))}
