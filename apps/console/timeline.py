"""A task's events as a timeline: what began and what ended are one row, placed on the task's own stretch of time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apps.console import words
from apps.tasks.events import EventType
from apps.tasks.models import Event, Task, TaskStatus

SHOWN = 400  # rows of events; a longer timeline shows the last ones


@dataclass
class Row:
    """One line. `left` and `width` are percent of the time from the first event to the last."""

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
    inner: bool = False  # a part of the attempt above it
    task: str = ""  # another one that it is about
    detail: Any = None  # a payload
    offset: float = 0.0  # seconds since the first event
    left: float = 0.0
    width: float = 0.0


@dataclass(frozen=True)
class Timeline:
    rows: list[Row]
    earlier: int  # events that are not shown
    seconds: float


def of(task: Task) -> Timeline:
    events = list(reversed(Event.objects.filter(task=task).order_by("-seq")[:SHOWN]))
    rows = _rows(events, task)
    if not events:
        return Timeline([], 0, 0.0)
    begin = events[0].at
    total = (events[-1].at - begin).total_seconds()
    # What is under way reaches beyond the last event. By a share, not until now: what has not changed looks the same.
    reach = total * 1.25 if any(row.open for row in rows) else total
    for row in rows:
        _place(row, begin, reach)
    return Timeline(rows, (events[0].seq or 1) - 1, total)


Key = tuple[str, Any]  # what has begun: "llm" and its request, "tool" and its call, or "attempt" and "wait"
_KINDS = {"llm": ("smart_toy", "Model", "model"), "tool": ("build", "Tool", "tool")}
_ATTEMPT: Key = ("attempt", None)
_WAIT: Key = ("wait", None)  # for a worker, for the next attempt, or for a person


def _rows(events: list[Event], task: Task) -> list[Row]:
    rows: list[Row] = []
    begun: dict[Key, Row] = {}
    for event in events:
        payload = event.payload
        match event.type:
            case EventType.LLM_STARTED:
                rows.append(_begin(begun, ("llm", payload.get("request")), event))
            case EventType.TOOL_CALL_STARTED:
                rows.append(_begin(begun, ("tool", payload.get("call")), event))
            case EventType.LLM_COMPLETED:
                _end(begun, ("llm", payload.get("request")), event, rows, _tokens(payload))
            case EventType.TOOL_CALL_COMPLETED:
                _end(begun, ("tool", payload.get("call")), event, rows)
            case _:
                _interrupt(event, begun)
                row = _plain(event, task)
                rows.append(row)
                if (stretch := _stretch(event, task)) is not None:
                    row.open = True
                    begun[stretch] = row
    return rows


def _row(key: Key, event: Event) -> Row:
    icon, kind, name = _KINDS[key[0]]
    return Row(event.seq or 0, icon, f"{kind} {event.payload.get(name, '')}", event.at, inner=True)


def _begin(begun: dict[Key, Row], key: Key, event: Event) -> Row:
    row = begun[key] = _row(key, event)
    row.open = True
    row.detail = event.payload.get("arguments")
    return row


def _end(begun: dict[Key, Row], key: Key, event: Event, rows: list[Row], text: str = "") -> None:
    """Completes the row of what has ended now; makes one if its beginning is not on the page."""
    row = begun.pop(key, None)
    if row is None:
        row = _row(key, event)
        rows.append(row)
    row.open = False
    row.text = text
    row.seconds = event.payload.get("seconds", (event.at - row.at).total_seconds())
    if error := event.payload.get("error"):
        row.error = _message(error)
        row.tone = "failed"


_ENDS = {
    EventType.EXECUTION_STARTED, EventType.EXECUTION_COMPLETED, EventType.EXECUTION_FAILED,
    EventType.EXECUTION_CANCELLED, EventType.EXECUTION_PAUSED, EventType.EXECUTION_RESUMED, EventType.RETRY_SCHEDULED,
}  # fmt: skip


def _interrupt(event: Event, begun: dict[Key, Row]) -> None:
    """The attempt is over, or another one begins, or a wait ends: what was under way goes no further."""
    if event.type not in _ENDS:
        return
    for (kind, _), row in begun.items():
        row.open = False
        row.seconds = (event.at - row.at).total_seconds()
        if kind in _KINDS:
            row.text = row.text or "did not finish"
    begun.clear()


def _stretch(event: Event, task: Task) -> Key | None:
    """What begins with an event and goes on until another one: it has a length of its own."""
    match event.type:
        case EventType.EXECUTION_STARTED:
            return _ATTEMPT
        case EventType.EXECUTION_PAUSED | EventType.EXECUTION_RESUMED | EventType.RETRY_SCHEDULED:
            return _WAIT
        case EventType.STATE_CHANGED if event.payload.get("to") == TaskStatus.PENDING:
            return _WAIT
    return None


_PLAIN = {  # icon, tone and title of what says no more by itself
    EventType.EXECUTION_COMPLETED: ("check_circle", "completed", "Completed"),
    EventType.EXECUTION_FAILED: ("error", "failed", "Failed"),
    EventType.EXECUTION_CANCELLED: ("block", "cancelled", "Cancelled"),
    EventType.EXECUTION_PAUSED: ("undo", "pending", "Handed back"),
    EventType.EXECUTION_RESUMED: ("play_arrow", "pending", "Goes on"),
    EventType.APPROVAL_REQUESTED: ("contact_support", "input_required", "Asked about {tool}"),
    EventType.APPROVAL_REMINDED: ("notifications", "input_required", "Reminded of {tool}"),
    EventType.APPROVAL_ESCALATED: ("groups", "input_required", "Others are asked about {tool}"),
    EventType.APPROVAL_DECIDED: ("how_to_reg", "input_required", "Decided about {tool}"),
    EventType.APPROVAL_EXPIRED: ("timer_off", "input_required", "Nobody decided about {tool}"),
    EventType.GRANT_USED: ("key", "plain", "{tool} is granted"),
    EventType.RETRY_SCHEDULED: ("schedule", "pending", "Attempt {attempt} failed"),
    EventType.DEAD_LETTERED: ("inbox", "failed", "Filed with the dead letters"),
    EventType.DEAD_LETTER_DISCARDED: ("delete", "cancelled", "Dead letter discarded"),
    EventType.FORKED: ("fork_right", "plain", "Forked"),
}


def _plain(event: Event, task: Task) -> Row:
    payload = event.payload
    row = Row(event.seq or 0, "circle", event.type, event.at, actor=event.actor, text=payload.get("reason", ""))
    if event.type in _PLAIN:
        row.icon, row.tone, title = _PLAIN[EventType(event.type)]
        tool = payload.get("tool") or "a limit"
        if payload.get("kind") == "question":
            tool, title = "a question", title.replace("sked about", "sked")
        row.title = title.replace("{tool}", str(tool)).replace("{attempt}", str(payload.get("attempt")))
    match event.type:
        case EventType.STATE_CHANGED:
            _state_changed(row, payload)
        case EventType.EXECUTION_STARTED:
            row.icon, row.tone = "play_circle", "running"
            row.title = f"Attempt {payload.get('attempt')} of {task.max_retries + 1}"
            row.text = f"on {payload.get('worker')}"
            if payload.get("resumed_from"):
                row.text += f", on from checkpoint {payload['resumed_from']}"
        case EventType.EXECUTION_FAILED:
            row.error = _message(payload.get("error"))
        case EventType.EXECUTION_PAUSED if payload.get("waits_for_person"):
            row.icon, row.tone, row.title, row.text = "back_hand", "input_required", "Waits for a person", ""
        case EventType.EXECUTION_RESUMED:
            row.text = f"after a wait of {words.duration(payload.get('waited_seconds'))}"
        case EventType.APPROVAL_DECIDED:
            decision = str(payload.get("decision", "")).replace("_", " ")
            row.text = f"{decision}: {payload['comment']}" if payload.get("comment") else decision
        case EventType.RETRY_SCHEDULED:
            row.text = f"next one {words.duration(payload.get('delay_seconds'))} later"
            row.error = _message(payload.get("error"))
        case EventType.FORKED:
            row.task, row.text = payload.get("task", ""), _again(payload)
        case _ if event.type not in _PLAIN:
            row.detail = payload or None
    return row


def _state_changed(row: Row, payload: dict[str, Any]) -> None:
    if "session" in payload:
        row.icon, row.title = "forum", "State of the session changed"
        row.text = ", ".join(payload.get("keys", ()))
        if payload.get("conflict"):
            row.tone, row.title = "input_required", "State of the session overwritten"
            row.task = payload["overwritten"][0]["task"] if "overwritten" in payload else ""
    elif payload.get("cancel_requested"):
        row.icon, row.tone, row.title = "block", "cancelled", "Asked to stop"
    elif payload.get("from"):
        row.icon, row.tone, row.title = "replay", "pending", "Retried"
        row.text = _again(payload)
    elif payload.get("forked_from"):
        row.icon, row.tone, row.title = "fork_right", "pending", "Made as a fork"
        row.task = payload["forked_from"]
        row.text = _again(payload)
    else:
        row.icon, row.tone, row.title = "inbox", "pending", "Accepted"


def _again(payload: dict[str, Any]) -> str:
    """From where a retry or a fork goes on, and why."""
    checkpoint = payload.get("from_checkpoint")
    return ": ".join(filter(None, [checkpoint and f"from checkpoint {checkpoint}", payload.get("reason")]))


def _tokens(payload: dict[str, Any]) -> str:
    if payload.get("input_tokens") is None:
        return ""
    text = f"{payload['input_tokens']:,} tokens in, {payload.get('output_tokens', 0):,} out"
    return f"{text}, {words.money(payload['cost_usd'])}" if payload.get("cost_usd") else text


def _message(error: Any) -> str:
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or "")
    return str(error or "")


def _place(row: Row, begin: datetime, reach: float) -> None:
    row.offset = (row.at - begin).total_seconds()
    row.left = round(100 * row.offset / reach, 2) if reach > 0 else 0.0
    length = 100.0 if row.open or reach <= 0 else 100 * (row.seconds or 0.0) / reach
    row.width = round(min(length, 100 - row.left), 2)
