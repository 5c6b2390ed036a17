"""An installation with workers in processes of their own, as the test process sees it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from apps.agents.config.apply import apply
from apps.queue.models import QueueEntry, Worker
from apps.tasks import lifecycle
from apps.tasks.integrity import complaints
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Task
from apps.tenancy import lifecycle as tenancy
from apps.tenancy.context import in_app
from tests.support.installation import Installation
from tests.support.starter import ROOT, Forked, Starter
from tests.support.work import wait_for


@dataclass
class Site:
    """Its App has the agents of `document`, whose functions write what they do to a file (`tests.system.programs`)."""

    installation: Installation
    starter: Starter
    document: dict[str, Any]
    ran_file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.ran_file = self.installation.home.parent / "ran.log"
        self.ran_file.touch()
        self.installation.env |= {
            "HECTOR_TEST_LOG": str(self.ran_file),
            "HECTOR_FUNCTION_ALLOW": "tests.system",
            "HECTOR_QUEUE_WORKERS": "2",
            "HECTOR_GRACE": "6s",
            "PYTHONPATH": str(ROOT),
        }
        with self.installation.inside():
            apply(tenancy.get("default"), self.document, by="tests")

    def submit(self, tasks: list[tuple[str, str]]) -> list[str]:
        with self.installation.inside(), in_app("default") as app:
            made = lifecycle.submit_many(app, [NewTask(agent, text) for agent, text in tasks], by="tests")
            return [str(task.pk) for task in made]

    def work(self, host: str = "one") -> Forked:
        return self.installation.fork(self.starter, "worker", HECTOR_HOST_NAME=host)

    def on_shift(self) -> list[int]:
        """The worker processes."""
        with self.installation.inside():
            return list(Worker.objects.filter(stopped_at=None).values_list("pid", flat=True))

    def ran(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self.ran_file.read_text().splitlines())

    def pid_of(self, what: str) -> int:
        """The process that ran it last."""
        lines = [line.split() for line in self.ran_file.read_text().splitlines()]
        return int([pid for name, pid in lines if name == what][-1])

    def rested(self) -> bool:
        """Whether nothing is going to happen to any task by itself any more."""
        with self.installation.inside(), in_app("default"):
            return not Task.objects.filter(status__in=["pending", "running"]).exists()

    def ended(self, seconds: float = 60) -> dict[str, Any]:
        wait_for(self.rested, seconds=seconds, what="all tasks rest")
        return self.look()

    def look(self) -> dict[str, Any]:
        with self.installation.inside(), in_app("default") as app:
            entries = QueueEntry.objects
            return {
                "tasks": {str(task.pk): _told(task) for task in Task.objects.all()},
                "entries": entries.count(),
                "leased": list(entries.filter(state="leased").values_list("worker__pid", flat=True)),
                "complaints": complaints(app),
            }


def _told(task: Task) -> dict[str, Any]:
    return {
        "status": task.status,
        "output": task.output,
        "error": task.error,
        "attempt": task.attempt,
        "attempts": list(task.attempts.values_list("outcome", flat=True)),
        "approvals": list(task.approvals.values_list("kind", "tool", "status")),
    }
