"""How checkpoints are kept: each value once, large ones compressed, and all of them within bounds.

- `packed`: a value whose JSON is longer than PACKED_FROM bytes is kept compressed; `Checkpoint.content` reads either.
- References: a model turn repeats the results of the tools that the model was told of. They have checkpoints of their
  own, so the turn names the result's key (`content_from`) in place of its `content`. Only what is exactly the same is
  replaced, so what is put back is what was there.
- Bounds: `HECTOR_CHECKPOINT_MAX` for one value, `HECTOR_CHECKPOINT_MAX_TOTAL` for the journal that a task goes on
  from, both counted as JSON before compression.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import F, Q, QuerySet

from apps.tasks.models import Checkpoint, Task

PACKED_FROM = 2048  # bytes of JSON
REFERENCE = "content_from"  # the key of the checkpoint that has a message part's content
Messages = list[dict[str, Any]]

# PostgreSQL's jsonb refuses NUL and lone surrogates. Pairs of surrogates are found too, and packed without need.
_NOT_FOR_JSONB = re.compile(r"\\u(?:0000|d[89a-f])")


class Stored(NamedTuple):
    """A value as its row has it: as JSON text or packed, and the bytes of its JSON."""

    value: str | None
    packed: bytes | None
    size: int


def pack(value: Any) -> Stored:
    text = _text(value)
    if len(text) > PACKED_FROM or _NOT_FOR_JSONB.search(text):
        return Stored(None, zlib.compress(text.encode(), 1), len(text))
    return Stored(text, None, len(text))


def _text(value: Any) -> str:
    """ASCII, and all that the value says, also what jsonb refuses."""
    return json.dumps(value, cls=DjangoJSONEncoder)


def live(checkpoints: QuerySet[Checkpoint]) -> QuerySet[Checkpoint]:
    """Those that their tasks go on from: not of an earlier input, and not set aside."""
    return checkpoints.filter(seq__gt=F("task__journal_start"), set_aside=False)


def not_live(checkpoints: QuerySet[Checkpoint]) -> QuerySet[Checkpoint]:
    return checkpoints.filter(Q(seq__lte=F("task__journal_start")) | Q(set_aside=True))


def of(task: Task) -> QuerySet[Checkpoint]:
    """The journal that the task goes on from, in order."""
    return live(Checkpoint.objects.filter(task=task)).order_by("seq")


def call_key(turn: int, call_id: str) -> str:
    """Names a tool call within its journal: the model turn that asked for it, and its id (ids repeat between turns)."""
    return f"tool:{turn}:{call_id}"[:200]


def refer(messages: Messages, turn: int, results: Mapping[str, Any]) -> Messages:
    """The messages that came after that many model turns, with references in place of results that have checkpoints."""
    return [_with_parts(message, [_referring(part, turn, results) for part in _parts(message)]) for message in messages]


def restore(messages: Messages, results: Mapping[str, Any]) -> Messages:
    """Undoes `refer`. Raises KeyError if a result is not there."""
    return [_with_parts(message, [_restored(part, results) for part in _parts(message)]) for message in messages]


def _parts(message: dict[str, Any]) -> Sequence[dict[str, Any]]:
    parts: Sequence[dict[str, Any]] = message.get("parts", ())
    return parts


def _with_parts(message: dict[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    return {**message, "parts": parts} if "parts" in message else message


def _referring(part: dict[str, Any], turn: int, results: Mapping[str, Any]) -> dict[str, Any]:
    if part.get("part_kind") != "tool-return" or "content" not in part:
        return part
    key = call_key(turn, part["tool_call_id"])
    if key not in results or not _same(part["content"], results[key]):
        return part
    return {name: value for name, value in part.items() if name != "content"} | {REFERENCE: key}


def _restored(part: dict[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    if REFERENCE not in part:
        return part
    return {name: value for name, value in part.items() if name != REFERENCE} | {"content": results[part[REFERENCE]]}


def _same(one: Any, other: Any) -> bool:
    """As JSON: Python takes 1, 1.0 and True for equal, and objects whatever the order of their keys."""
    return one is other or (one == other and _text(one) == _text(other))


def too_large(size: int, total: int) -> str:
    """Why a checkpoint of so many bytes cannot be kept beside so many others; empty if it can."""
    if size > settings.HECTOR_CHECKPOINT_MAX:
        return f"{size:,} bytes, and a checkpoint may have {settings.HECTOR_CHECKPOINT_MAX:,} (HECTOR_CHECKPOINT_MAX)"
    if total + size > settings.HECTOR_CHECKPOINT_MAX_TOTAL:
        return (
            f"{size:,} bytes, and with the {total:,} that the task's journal has these are more than"
            f" {settings.HECTOR_CHECKPOINT_MAX_TOTAL:,} (HECTOR_CHECKPOINT_MAX_TOTAL)"
        )
    return ""
