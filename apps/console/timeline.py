"""A task's events as a timeline: what began and what ended are one row, placed on the task's own stretch of time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from apps.console import words
from apps.tasks.events import EventType
from apps.tasks.models import LIVE, Event, Task

SHOWN = 400  # rows of events; a longer timeline shows the last ones


@dataclass
class Row:
    """One line. `left` and `width` are percent of the time from the first event to the last (or to now)."""

    seq: int
    icon: str
    title: str
    at: datetime
    tone: str = "plain"  # a state, whose colour it has
    text: str = ""
    actor: str = ""
    seconds: float | None = None
    open: bool = False  # it has begun and not ended
    error: str = ""
    detail: Any = None  # a payload
    left: float = 0.0
    width: float = 0.0


@dataclass(frozen=True)
class Timeline:
    rows: list[Row]
    earlier: int  # events that are not shown
    seconds: float
    waterfall: bool = field(default=False)  # whether lengths are worth drawing


def of(task: Task) -> Timeline:
    events = list(reversed(Event.objects.filter(task=task).order_by("-seq")[:SHOWN]))
    rows = _rows(events, task)
    if not events:
        return Timeline([], 0, 0.0)
    begin, end = events[0].at, events[-1].at
    if task.status in LIVE:
        end = max(end, timezone.now())
    total = (end - begin).total_seconds()
    for row in rows:
        _place(row, begin, end, total)
    return Timeline(rows, (events[0].seq or 1) - 1, total, waterfall=any(row.seconds is not None for row in rows))


def _rows(events: list[Event], task: Task) -> list[Row]:
    rows: list[Row] = []
    begun: dict[tuple[str, Any], Row] = {}
    for event in events:
        payload = event.payload
        match event.type:
            case EventType.LLM_STARTED:
                row = Row(event.seq or 0, "smart_toy", f"Model {payload.get('model', '')}", event.at, open=True)
                begun["llm", payload.get("request")] = row
                rows.append(row)
            case EventType.TOOL_CALL_STARTED:
                row = Row(
                    event.seq or 0, "build", f"Tool {payload.get('tool', '')}", event.at, open=True,
                    detail=payload.get("arguments"),
                )  # fmt: skip
                begun["tool", payload.get("call")] = row
                rows.append(row)
            case EventType.LLM_COMPLETED:
                _end(begun.pop(("llm", payload.get("request")), None), event, rows, "smart_toy", "Model", _tokens(payload))
            case EventType.TOOL_CALL_COMPLETED:
                text = "answered from the journal, not run again" if payload.get("replayed") else ""
                _end(begun.pop(("tool", payload.get("call")), None), event, rows, "build", "Tool", text)
            case EventType.CHECKPOINT_SAVED:
                continue
            case _:
                _interrupt(event, begun)
                rows.append(_plain(event, task))
    return rows


def _end(row: Row | None, event: Event, rows: list[Row], icon: str, kind: str, text: str) -> None:
    """Completes the row of what has ended now; makes one if its beginning is not on the page."""
    if row is None:
        name = event.payload.get("tool") or event.payload.get("model") or ""
        row = Row(event.seq or 0, icon, f"{kind} {name}", event.at)
        rows.append(row)
    row.open = False
    row.text = text
    row.seconds = event.payload.get("seconds", (event.at - row.at).total_seconds())
    if error := event.payload.get("error"):
        row.error = _message(error)
        row.tone = "failed"


_ENDS = {
    EventType.EXECUTION_STARTED, EventType.EXECUTION_COMPLETED, EventType.EXECUTION_FAILED,
    EventType.EXECUTION_CANCELLED, EventType.EXECUTION_PAUSED, EventType.RETRY_SCHEDULED,
}  # fmt: skip


def _interrupt(event: Event, begun: dict[tuple[str, Any], Row]) -> None:
    """The attempt is over, or another one begins: what was under way did not finish."""
    if event.type not in _ENDS:
        return
    for row in begun.values():
        row.open = False
        row.text = row.text or "did not finish"
        row.seconds = (event.at - row.at).total_seconds()
    begun.clear()


def _plain(event: Event, task: Task) -> Row:
    payload = event.payload
    row = Row(event.seq or 0, "circle", event.type, event.at, actor=event.actor, text=payload.get("reason", ""))
    match event.type:
        case EventType.STATE_CHANGED:
            _state_changed(row, payload)
        case EventType.EXECUTION_STARTED:
            row.icon, row.tone = "play_circle", "running"
            row.title = f"Attempt {payload.get('attempt')} of {task.max_retries + 1} started"
            row.text = f"on {payload.get('worker')}"
            if payload.get("resumed_from"):
                row.text += f", on from checkpoint {payload['resumed_from']}"
        case EventType.EXECUTION_COMPLETED:
            row.icon, row.tone, row.title = "check_circle", "completed", "Completed"
        case EventType.EXECUTION_FAILED:
            row.icon, row.tone, row.title = "error", "failed", "Failed"
            row.error = _message(payload.get("error"))
        case EventType.EXECUTION_CANCELLED:
            row.icon, row.tone, row.title = "block", "cancelled", "Cancelled"
        case EventType.EXECUTION_PAUSED:
            row.icon, row.tone, row.title = "undo", "pending", "Handed back"
        case EventType.RETRY_SCHEDULED:
            row.icon, row.tone = "schedule", "pending"
            row.title = f"Attempt {payload.get('attempt')} failed"
            row.text = f"next one {words.duration(payload.get('delay_seconds'))} later"
            row.error = _message(payload.get("error"))
        case EventType.DEAD_LETTERED:
            row.icon, row.tone, row.title = "inbox", "failed", "Filed with the dead letters"
        case _:
            row.detail = payload or None
    return row


def _state_changed(row: Row, payload: dict[str, Any]) -> None:
    if payload.get("cancel_requested"):
        row.icon, row.tone, row.title = "block", "cancelled", "Asked to stop"
    elif payload.get("from"):
        row.icon, row.tone, row.title = "replay", "pending", "Retried"
    else:
        row.icon, row.tone, row.title = "inbox", "pending", "Accepted"


def _tokens(payload: dict[str, Any]) -> str:
    if payload.get("input_tokens") is None:
        return ""
    text = f"{payload['input_tokens']:,} tokens in, {payload.get('output_tokens', 0):,} out"
    return f"{text}, {words.money(payload['cost_usd'])}" if payload.get("cost_usd") else text


def _message(error: Any) -> str:
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or "")
    return str(error or "")


def _place(row: Row, begin: datetime, end: datetime, total: float) -> None:
    if total <= 0:
        return
    row.left = round(100 * (row.at - begin).total_seconds() / total, 2)
    length = (end - row.at).total_seconds() if row.open else row.seconds or 0.0
    row.width = round(min(100 * length / total, 100 - row.left), 2)
