"""Named points of a task's life at which a test can stop the process. Off, a point costs one look at a variable.

`HECTOR_FAULT=POINT:ACTION:DIRECTORY` arms one point. The first process that comes to it makes `DIRECTORY/reached`
(which holds its pid), so it strikes once in an installation, and then

- `kill`, `term`, `stop`: sends itself SIGKILL, SIGTERM or SIGSTOP;
- `wait`: stands still until `DIRECTORY/go` exists, while the test cuts a connection, restarts the database or the like.

A new point is a member of `Point` and one call of `reach`; `tests/faults` runs every point with every fault.
"""

from __future__ import annotations

import os
import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

_armed = os.environ.get("HECTOR_FAULT", "")
_SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM, "stop": signal.SIGSTOP}


class Point(StrEnum):
    CLAIMED = "claimed"  # entries are leased; their tasks still say pending
    BEGUN = "begun"  # tasks say running; nothing has run
    MODEL_ASKED = "model_asked"  # before a model request is sent
    MODEL_ANSWERED = "model_answered"  # its answer is here and not yet recorded
    TOOL_STARTS = "tool_starts"  # "started" is recorded; the tool has not run
    TOOL_ENDED = "tool_ended"  # the tool has run; its result is not recorded
    CHECKPOINT_WRITES = "checkpoint_writes"  # inside the transaction of a checkpoint
    CHECKPOINT_WRITTEN = "checkpoint_written"  # after its commit
    RUN_ENDED = "run_ended"  # the run is over; its end is not recorded
    SETTLEMENT_WRITES = "settlement_writes"  # inside the transaction that ends a run
    SETTLEMENT_WRITTEN = "settlement_written"  # after its commit
    RETRY_WRITES = "retry_writes"  # inside the transaction that puts a task off
    APPROVAL_WRITES = "approval_writes"  # inside the transaction that makes a task wait for a person


def reach(point: Point) -> None:
    """Says that the process is at the point."""
    if _armed:
        _strike(point)


def _strike(point: Point) -> None:
    name, action, directory = _armed.split(":", 2)
    if name != point:
        return
    try:
        handle = os.open(Path(directory, "reached"), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
    if action == "wait":
        while not Path(directory, "go").exists():
            time.sleep(0.01)
    elif action in _SIGNALS:
        os.kill(os.getpid(), _SIGNALS[action])
    else:
        _unknown(action)


def _unknown(action: str) -> NoReturn:
    raise ValueError(f"HECTOR_FAULT has the unknown action {action!r}")
