"""Tasks whose payloads all hold a text that can be looked for."""

from __future__ import annotations

import json
import zlib

from django.utils import timezone

from apps.approvals import lifecycle as approvals
from apps.approvals.models import Approval
from apps.tasks.journal import NewCheckpoint
from apps.tasks.models import Attempt, Checkpoint, DeadLetter, Event, Task, TaskStatus
from apps.tenancy.models import App
from tests.support import agents
from tests.support.doubt import asked

MARK = "the-customer-is-Zaphod"
Kind = Checkpoint.Kind
ERROR = {"code": "rejected", "message": f"bad name {MARK}", "retryable": False}


def plant(app: App) -> list[Task]:
    """One task that waits for a person, one that has failed and one that is completed."""
    agents.apply(app, agents.one_llm_agent({"text": "Done."}), by="tests")
    waiting = asked(
        app,
        approvals.Call(Approval.Kind.IN_DOUBT, "tool:1:a", "charge", {"name": MARK}),
        marks=[
            NewCheckpoint(Kind.MODEL, "model:1", {"messages": [{"parts": [{"part_kind": "text", "content": MARK}]}]}),
            NewCheckpoint(Kind.TOOL_STARTED, "tool:1:a", {"arguments": MARK}),
            NewCheckpoint(Kind.TOOL_RESULT, "tool:0:b", {"value": MARK}),
        ],
        value=MARK,
        metadata={"customer": MARK},
    )
    Approval.objects.update(prompt=f"Shall {MARK} be charged?")
    failed, completed = agents.submit(app, value=MARK), agents.submit(app, value=MARK)
    ended = {"finished_at": timezone.now(), "started_at": timezone.now()}
    Task.objects.filter(pk=failed.pk).update(status=TaskStatus.FAILED, error=ERROR, last_seq=9, **ended)
    Task.objects.filter(pk=completed.pk).update(status=TaskStatus.COMPLETED, output={"text": MARK}, **ended)
    DeadLetter.objects.create(task=failed, agent="agent", code="rejected", fingerprint="f", error=ERROR)
    Attempt.objects.create(
        task=failed, number=1, outcome="failed", error=ERROR, traceback=f"in line 1: {MARK}", epoch=1, **ended
    )
    packed = json.dumps({"value": MARK}).encode()
    Checkpoint.objects.create(
        task=failed, seq=1, kind=Kind.TOOL_RESULT, key="tool:1:x", packed=zlib.compress(packed), size=70_000, epoch=1
    )
    for seq, kind, payload in (
        (7, "tool_call_started", {"tool": "charge", "call": "tool:1:x", "arguments": {"name": MARK}}),
        (8, "tool_call_completed", {"tool": "charge", "call": "tool:1:x", "seconds": 1.0, "error": ERROR}),
        (9, "execution_failed", {"attempt": 1, "error": ERROR}),
    ):
        Event.objects.create(task=failed, seq=seq, type=kind, payload=payload)
    return [waiting, failed, completed]
