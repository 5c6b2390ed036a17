"""The conversation of a task with its model, read from the journal's model checkpoints.

Reads the stored messages as plain data, so that a message of a kind that is not known yet is shown and not refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from apps.sessions.models import Turn
from apps.tasks import checkpoints
from apps.tasks.checkpoints import REFERENCE
from apps.tasks.models import Checkpoint, Task

SHOWN = 60  # model turns; a longer conversation shows the last ones
LARGEST = 65536  # bytes of a tool's result that is shown

_SPEAKERS = {
    "system-prompt": ("Instruction", "rule"),
    "user-prompt": ("Input", "person"),
    "text": ("Model", "smart_toy"),
    "thinking": ("Model, thinking", "psychology"),
    "tool-call": ("Calls", "build"),
    "tool-return": ("Answer of", "build_circle"),
    "retry-prompt": ("Asked again", "replay"),
}


@dataclass(frozen=True)
class Line:
    key: str
    kind: str
    speaker: str
    icon: str
    content: Any


@dataclass(frozen=True)
class Conversation:
    lines: list[Line]
    earlier: bool  # whether it began before the first line


def of(task: Task) -> Conversation:
    turns = checkpoints.of(task).filter(kind=Checkpoint.Kind.MODEL)
    found = list(turns.order_by("-seq")[: SHOWN + 1])
    parts = [
        (f"{turn.seq}-{number}", part)
        for turn in reversed(found[:SHOWN])
        for number, part in enumerate(_parts(turn.content))
    ]
    results = _results(task, [part[REFERENCE] for _, part in parts if REFERENCE in part])
    lines = [_line(key, {**part, "content": results.get(part[REFERENCE])} if REFERENCE in part else part)
             for key, part in parts]  # fmt: skip
    return Conversation([line for line in lines if line is not None], len(found) > SHOWN)


def lines_of(turn: Turn) -> list[Line]:
    """What a task has added to the conversation of its session; nothing of what is too large to be shown."""
    messages = [] if turn.size > LARGEST else turn.content
    parts = enumerate(_parts({"messages": messages}))
    return [line for number, part in parts if (line := _line(f"{turn.seq}-{number}", part)) is not None]


def _results(task: Task, keys: list[str]) -> dict[str, Any]:
    """What the tool calls of these keys have returned."""
    points = checkpoints.of(task).filter(kind=Checkpoint.Kind.TOOL_RESULT, key__in=keys)
    shown = {point.key: point.content["value"] for point in points.filter(size__lte=LARGEST)}
    large = points.filter(size__gt=LARGEST).values_list("key", "seq", "size")
    return shown | {key: f"{size:,} bytes, which checkpoint {seq} has" for key, seq, size in large}


def _parts(value: Any) -> list[dict[str, Any]]:
    messages = value.get("messages", []) if isinstance(value, dict) else []
    return [part for message in messages if isinstance(message, dict) for part in message.get("parts", [])]


def _line(key: str, part: dict[str, Any]) -> Line | None:
    kind = part.get("part_kind", "")
    speaker, icon = _SPEAKERS.get(kind, (kind or "Message", "chat"))
    if kind in ("tool-call", "tool-return"):
        speaker = f"{speaker} {part.get('tool_name', '')}"
    content = _arguments(part.get("args")) if kind == "tool-call" else part.get("content")
    return Line(key, kind, speaker, icon, content) if content not in (None, "", {}) or kind == "tool-call" else None


def _arguments(args: Any) -> Any:
    """A call's arguments, which some providers send as JSON text."""
    if not isinstance(args, str):
        return args
    try:
        return json.loads(args)
    except ValueError:
        return args
