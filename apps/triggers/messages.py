"""What is said about an event: `{type, app, at, data}`, and the same in words.

`data` has facts that anybody who is told may know: which task, agent and tool, what was decided, why it failed, and a
link. Inputs, results, arguments and whatever else an event holds are in `data.payload`, and only for a channel that
says `include_payload`. Secrets are in neither: no event holds one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder

from apps.approvals.models import Approval
from apps.tasks.events import EventType
from apps.tasks.models import Event, Task
from apps.tenancy.models import App

TEST = "test"  # the type of a message that somebody sends to see whether it arrives
LARGEST_PAYLOAD = 256 * 1024  # bytes as JSON

# The keys of events' payloads that are facts; what is not here is told only with `include_payload`.
_FACTS = (
    "approval", "kind", "tool", "policy", "decision", "outcome", "missing", "comment", "reason", "attempt", "error",
    "delay_seconds", "waited_seconds", "fingerprint", "from", "to", "task", "forked_from", "operation", "verb", "total",
    "done", "skipped", "failed", "channel", "agent", "app", "grant", "name", "conflict",
)  # fmt: skip

_WORDS: dict[str, str] = {
    EventType.STATE_CHANGED: "{agent} is {to}",
    EventType.EXECUTION_STARTED: "{agent} has started",
    EventType.EXECUTION_COMPLETED: "{agent} has completed",
    EventType.EXECUTION_FAILED: "{agent} has failed",
    EventType.EXECUTION_CANCELLED: "{agent} was cancelled",
    EventType.EXECUTION_PAUSED: "{agent} waits",
    EventType.EXECUTION_RESUMED: "{agent} goes on",
    EventType.RETRY_SCHEDULED: "{agent} will be tried again",
    EventType.DEAD_LETTERED: "{agent} has failed for good",
    EventType.DEAD_LETTER_DISCARDED: "A dead letter of {agent} was discarded",
    EventType.APPROVAL_REQUESTED: "{agent} asks for a decision about {tool}",
    EventType.APPROVAL_DECIDED: "A decision about {tool} of {agent}: {decision}",
    EventType.APPROVAL_REMINDED: "{agent} still waits for a decision about {tool}",
    EventType.APPROVAL_ESCALATED: "Escalated: {agent} waits for a decision about {tool}",
    EventType.APPROVAL_EXPIRED: "Nobody decided in time about {tool} of {agent}",
    EventType.CUSTOM: "{name} has happened",
    EventType.NOTIFICATION_DISABLED: "The notification channel {channel} was switched off",
    TEST: "A test of the notification channel {channel}",
}
_OF_SESSION = "{agent} has changed the state of session {session}"
_LABELS = {
    "agent": "Agent", "task": "Task", "tool": "Tool", "decision": "Decision", "actor": "By", "comment": "Comment",
    "reason": "Reason", "attempt": "Attempt", "risk": "Risk", "expires_at": "Due",
}  # fmt: skip


@dataclass(frozen=True)
class Happening:
    """An event with what it is about."""

    event: Event
    task: Task | None
    approval: Approval | None = None

    @property
    def agent(self) -> str:
        return self.task.agent if self.task else str(self.event.payload.get("agent", ""))

    @property
    def entry_point(self) -> str:
        found = self.task.entry_point if self.task else self.event.payload.get("entry_point")
        return str(found or "")


def of_event(app: App, told: Happening, *, include_payload: bool) -> dict[str, Any]:
    event, task, approval, payload = told.event, told.task, told.approval, told.event.payload
    data: dict[str, Any] = {"event": event.pk}
    if task is not None:
        data |= {"task": str(task.pk), "seq": event.seq, "agent": task.agent, "session": task.session}
        if task.entry_point:
            data["entry_point"] = task.entry_point
    data |= {name: payload[name] for name in _FACTS if name in payload and name not in data}
    if event.actor:
        data["actor"] = event.actor
    if approval is not None:
        data |= {"risk": approval.risk, "expires_at": approval.expires_at}
    data["link"] = _link(app, data)
    if include_payload:
        data["payload"] = _payload(payload, task, approval)
    return _message(event.type, app, event.at, data)


def of_test(app: App, channel: str, at: datetime) -> dict[str, Any]:
    data = {"channel": channel, "link": _absolute(app, "/admin/notifications/")}
    return _message(TEST, app, at, data)


def _message(type: str, app: App, at: datetime, data: dict[str, Any]) -> dict[str, Any]:
    message = {"type": type, "app": app.name, "at": at, "data": data}
    plain: dict[str, Any] = json.loads(json.dumps(message, cls=DjangoJSONEncoder))
    return plain


def _payload(payload: dict[str, Any], task: Task | None, approval: Approval | None) -> dict[str, Any]:
    found: dict[str, Any] = {"event": payload}
    if task is not None:
        found |= {"input": task.input, "output": task.output}
    if approval is not None:
        found |= {"arguments": approval.arguments, "prompt": approval.prompt}
    size = len(json.dumps(found, cls=DjangoJSONEncoder).encode())
    return found if size <= LARGEST_PAYLOAD else {"omitted": f"{size} bytes are more than a message may hold"}


def _link(app: App, data: dict[str, Any]) -> str:
    """Where the console shows it. Whoever follows it has to log in."""
    if "approval" in data:
        return _absolute(app, f"/approvals/{data['approval']}/")
    if "operation" in data:
        return _absolute(app, f"/admin/dead-letters/operations/{data['operation']}/")
    if "task" in data:
        return _absolute(app, f"/admin/tasks/{data['task']}/")
    return _absolute(app, "/admin/notifications/" if "channel" in data else "/admin/")


def _absolute(app: App, path: str) -> str:
    return f"{settings.HECTOR_PUBLIC_URL}{path}?app={quote(app.name)}"


def subject(message: dict[str, Any]) -> str:
    """In one line, what it is about."""
    kind: str = message["type"]
    data = message["data"]
    words = _WORDS.get(kind, kind.replace("_", " ").capitalize())
    if kind == EventType.STATE_CHANGED and "to" not in data:
        words = _OF_SESSION
    known = {"agent": message["app"], **data, "tool": data.get("tool") or data.get("kind", "…")}
    return one_line(words.format_map(defaultdict(lambda: "…", known)))


def lines(message: dict[str, Any]) -> list[tuple[str, str]]:
    """The rest in words: label and value. A value's further lines are indented, so that none passes for a label."""
    data = message["data"]
    found = [(label, str(data[name])) for name, label in _LABELS.items() if data.get(name)]
    if isinstance(error := data.get("error"), dict):
        found.append(("Error", f"{error.get('code')}: {error.get('message')}"))
    if "payload" in data:
        found.append(("Payload", json.dumps(data["payload"], ensure_ascii=False, indent=2)))
    return [(label, "\n    ".join(value.splitlines())) for label, value in found]


def one_line(text: str) -> str:
    """Text without line breaks and other control characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
