"""Named points of a task's life at which a test can stop the process. Off, a point costs one look at a variable.

`HECTOR_FAULT=POINT:ACTION:DIRECTORY` arms one point (several with commas between them; `POINT@2` means the second time
that a process comes to it). The first process that comes to it makes `DIRECTORY/reached` (which holds its pid), so it
strikes once in an installation, and then

- `kill`, `term`: sends itself SIGKILL or SIGTERM;
- `wait`: stands still until `DIRECTORY/go` exists, while the test freezes it, cuts a connection or the like.

A new point is a member of `Point` and one call of `reach`; `tests/faults` runs every point with every fault.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from enum import StrEnum
from pathlib import Path

_armed = os.environ.get("HECTOR_FAULT", "")
_visits: Counter[str] = Counter()
_SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}


class Point(StrEnum):
    CLAIMED = "claimed"  # entries are leased; their tasks still say pending
    BEGUN = "begun"  # tasks say running; nothing has run
    MODEL_ASKED = "model_asked"  # before a model request is sent
    MODEL_ANSWERED = "model_answered"  # its answer is here and not yet recorded
    TOOL_STARTS = "tool_starts"  # "started" is recorded; the tool has not run
    TOOL_ENDED = "tool_ended"  # the tool has run; its result is not recorded
    CHECKPOINT_WRITES = "checkpoint_writes"  # inside the transaction of a checkpoint
    USAGE_COUNTED = "usage_counted"  # inside it, too: what it has cost stands in the budgets
    CHECKPOINT_WRITTEN = "checkpoint_written"  # after its commit
    RUN_ENDED = "run_ended"  # the run is over; its end is not recorded
    SETTLEMENT_WRITES = "settlement_writes"  # inside the transaction that ends a run
    SETTLEMENT_WRITTEN = "settlement_written"  # after its commit
    RETRY_WRITES = "retry_writes"  # inside the transaction that puts a task off
    REACTION_WRITES = "reaction_writes"  # inside that transaction, too: what events start is written
    OUTBOX_WRITES = "outbox_writes"  # inside the transaction that hands events to their subscribers
    MESSAGE_SENT = "message_sent"  # a receiver has a message; its answer is not recorded
    DELIVERY_WRITES = "delivery_writes"  # inside the transaction that records it
    WEBHOOK_WRITES = "webhook_writes"  # inside the transaction that accepts a request; its sender knows nothing yet
    WEBHOOK_WRITTEN = "webhook_written"  # after its commit; its sender still knows nothing
    APPROVAL_WRITES = "approval_writes"  # inside the transaction that makes a task wait for a person
    DECISION_WRITES = "decision_writes"  # inside that of a decision; nothing but the decision itself is written
    GRANT_WRITES = "grant_writes"  # inside it, too: the grant is written
    RESUME_WRITES = "resume_writes"  # inside it, too: the task is queued again
    DECISION_WRITTEN = "decision_written"  # after its commit
    STATE_WRITES = "state_writes"  # inside the transaction that changes the state of a session
    TURN_WRITES = "turn_writes"  # inside the one that adds what a task has said to its session
    REPLACEMENT_WRITES = "replacement_writes"  # inside a firing's: the old task is to stop, there is no new one yet
    DUE_WRITES = "due_writes"  # inside the transaction of a reminder, an escalation or an expiry
    TIMER_WRITES = "timer_writes"  # inside the transaction of a timer's firing; its next entry is not written
    TIMER_WRITTEN = "timer_written"  # after its commit; nothing of it has started


def reach(point: Point) -> None:
    """Says that the process is at the point."""
    if _armed:
        _strike(point)


def _strike(point: Point) -> None:
    _visits[point] += 1
    for fault in _armed.split(","):
        place, action, directory = fault.split(":", 2)
        name, _, visit = place.partition("@")
        if name == point and _visits[point] == int(visit or 1) and _first(Path(directory)):
            _act(action, Path(directory))


def _first(directory: Path) -> bool:
    """Whether this process is the first to come here; it leaves its pid, whole or not at all."""
    mine = directory / f"pid-{os.getpid()}"
    mine.write_text(str(os.getpid()))
    try:
        os.link(mine, directory / "reached")
    except FileExistsError:
        return False
    finally:
        mine.unlink()
    return True


def _act(action: str, directory: Path) -> None:
    if action == "wait":
        while not (directory / "go").exists():
            time.sleep(0.01)
    elif action in _SIGNALS:
        os.kill(os.getpid(), _SIGNALS[action])
    else:
        raise ValueError(f"HECTOR_FAULT has the unknown action {action!r}")
