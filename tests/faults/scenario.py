"""One scenario of the matrix: an installation, one task, a host that is armed with a fault, and others that are not.

Processes of Hector run as in production, apart from being forked off `tests.support.starter`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import psutil
from django.utils import timezone

from apps.agents.config.apply import apply
from apps.approvals.models import Approval
from apps.queue.faults import Point
from apps.queue.models import Worker
from apps.tasks import integrity
from apps.tasks.models import Checkpoint, Task, TaskStatus
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from hector_site.orphans import PARENT
from tests.support import work
from tests.support.agents import call, one_llm_agent, scripted, submit
from tests.support.installation import ROOT, Installation
from tests.support.starter import Starter

T = TypeVar("T")
STALE = 2.0  # seconds: the lease of the scenarios' workers
DOCUMENT = one_llm_agent(
    tools={
        "look_up": {"type": "function", "handler": "tests.faults.programs.look_up", "idempotent": True},
        "charge": {"type": "function", "handler": "tests.faults.programs.charge"},
    },
    llm=scripted(
        call("look_up", order="7"), call("charge", amount=3), {"error": {"status": 429}}, {"text": "All done."}
    ),
    retry={"max_retries": 5, "initial_delay": "20ms", "max_delay": "50ms"},
)


@dataclass
class Scenario:
    installation: Installation
    starter: Starter
    document: dict[str, Any] = field(default_factory=lambda: DOCUMENT)
    options: dict[str, Any] = field(default_factory=dict)  # of the task
    faults: list[str] = field(default_factory=list)
    task: Task = field(init=False)

    def __post_init__(self) -> None:
        self.path = self.installation.home.parent
        self.log = self.path / "processes.log"
        self.ran_file = self.path / "ran.log"
        self.ran_file.touch()
        self.installation.env |= {
            "HECTOR_TEST_LOG": str(self.ran_file),
            "HECTOR_FUNCTION_ALLOW": "tests.faults",
            "HECTOR_QUEUE_WORKERS": "1",
            "HECTOR_QUEUE_STALE_THRESHOLD": f"{STALE:g}s",
            "HECTOR_SLOTS": "4",
            "HECTOR_GRACE": "10s",
            "PYTHONPATH": str(ROOT),
            PARENT: str(self.starter.pid),
        }
        with self.installation.inside():
            apply(lifecycle.get("default"), self.document, by="tests")
            with in_app("default") as app:
                self.task = submit(app, "agent", "go", **self.options)

    # --- Hosts and faults -------------------------------------------------------------------------------------------
    def arm(self, point: Point, action: str, *, visit: int = 1) -> Path:
        """Arms the hosts that are started from now on; the directory of the fault (`apps.queue.faults`)."""
        directory = self.path / f"fault-{len(self.faults)}"
        directory.mkdir()
        self.faults.append(f"{point}@{visit}:{action}:{directory}")
        return directory

    def start_host(self, name: str, *, armed: bool = True) -> None:
        env = {"HECTOR_HOST_NAME": name, "HECTOR_FAULT": ",".join(self.faults) * armed}
        self.installation.fork(self.starter, "worker", log=self.log, **env)

    def reached(self, fault: Path) -> int:
        """Waits until a process has come to the armed point; its pid."""
        return int(self.wait_for(lambda: self._text(fault / "reached"), f"{fault.name} was reached"))

    def freeze(self, fault: Path, *, writing: bool = False) -> int:
        """Stops (SIGSTOP) the process that waits at the armed point, which it will leave when it wakes; its pid.

        On SQLite it holds the files' write lock then if, and only if, `writing`: what a thread other than the one at
        the point is about to write is written first.
        """
        pid = self.reached(fault)
        process = psutil.Process(pid)

        def frozen() -> bool:
            process.suspend()
            self.wait_for(lambda: _is_stopped(pid), "it is stopped")
            if self.holds_the_files(pid) == writing:
                return True
            process.resume()
            return False

        self.wait_for(frozen, "it is frozen")
        (fault / "go").touch()
        return pid

    def _text(self, path: Path) -> str:
        return path.read_text() if path.exists() else ""

    def _end_of_log(self) -> str:
        return self._text(self.log)[-6000:]

    def wait_for(self, condition: Callable[[], T], what: str) -> T:
        """Fails with the end of the processes' log."""
        try:
            return work.wait_for(condition, seconds=30, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._end_of_log()}") from None

    # --- What became of the task ------------------------------------------------------------------------------------
    def rested(self) -> Task:
        """The task, once nothing is going to happen to it by itself any more."""

        def look() -> Task | None:
            with self.installation.inside(), in_app("default"):
                task = Task.objects.get(pk=self.task.pk)
                return None if task.status in (TaskStatus.PENDING, TaskStatus.RUNNING) else task

        found = self.wait_for(look, "the task came to rest")
        assert found is not None
        return found

    def complaints(self) -> list[str]:
        with self.installation.inside():
            return integrity.complaints(lifecycle.get("default"))

    def rests_in_doubt(self, task: Task) -> bool:
        """Whether a person is asked what became of one call."""
        with self.installation.inside(), in_app("default"):
            asked = Approval.objects.filter(task=task.pk, kind=Approval.Kind.IN_DOUBT, status=Approval.Status.OPEN)
            return task.status == TaskStatus.INPUT_REQUIRED and asked.count() == 1

    def unanswered(self) -> set[str]:
        """The calls that must not run twice and were started without a result being recorded."""
        with self.installation.inside(), in_app("default"):
            points = Checkpoint.objects.filter(task=self.task.pk)
            answered = points.filter(kind__in=[Checkpoint.Kind.TOOL_RESULT, Checkpoint.Kind.TOOL_FAILED])
            started = points.filter(kind=Checkpoint.Kind.TOOL_STARTED)
            return set(started.values_list("key", flat=True)) - set(answered.values_list("key", flat=True))

    def has_not_beaten(self, pid: int, seconds: float) -> bool:
        """Whether that process, a worker, has not been able to say for so long that it lives."""
        with self.installation.inside():
            late = timezone.now() - timedelta(seconds=seconds)
            return Worker.objects.filter(pid=pid, heartbeat_at__lt=late).exists()

    def is_replaced(self, pid: int) -> bool:
        """Whether that process, a worker, was given up: its work is others' now."""
        with self.installation.inside():
            return Worker.objects.filter(pid=pid).exclude(stopped_at=None).exists()

    def holds_the_files(self, pid: int) -> bool:
        """Whether that process is inside a transaction of SQLite that writes: it locks byte 120 of a file's index."""
        held = (line.split() for line in Path("/proc/locks").read_text().splitlines())
        return ["WRITE", str(pid), "120"] in ([lock[3], lock[4], lock[6]] for lock in held if lock[1] != "->")

    def refuses_writes(self) -> bool:
        """Whether nobody can write to the shared file of SQLite now."""
        with (
            suppress(sqlite3.OperationalError),
            closing(sqlite3.connect(self.installation.home / "hector.db")) as other,
        ):
            other.execute("PRAGMA busy_timeout = 100")
            other.execute("BEGIN IMMEDIATE")
            return False
        return True

    def on_shift(self, pid: int) -> bool:
        """Whether that very process is (again) a worker in good standing."""
        with self.installation.inside():
            return Worker.objects.filter(pid=pid, stopped_at=None).exists()

    def ran(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self.ran_file.read_text().splitlines())


def _is_stopped(pid: int) -> bool:
    """Whether each of its threads is."""
    states = [thread.read_text().rpartition(")")[2].split()[0] for thread in Path(f"/proc/{pid}/task").glob("*/stat")]
    return set(states) == {"T"}
