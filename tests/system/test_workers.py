"""Worker processes as they run in production: killed, stopped, on two hosts at once."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import QUICK, call, document, scripted
from tests.support.installation import Installation
from tests.support.work import wait_for

SUBMIT = """
import json, sys
from apps.agents.config.apply import apply
from apps.tasks import lifecycle
from apps.tasks.lifecycle import NewTask
from apps.tenancy import lifecycle as tenancy
from apps.tenancy.context import in_app
app = tenancy.get("default")
apply(app, json.loads(sys.argv[1]), by="tests")
with in_app(app):
    news = [NewTask(agent, text) for agent, text in json.loads(sys.argv[2])]
    print(json.dumps([str(task.pk) for task in lifecycle.submit_many(app, news, by="tests")]))
"""
LOOK = """
import json, sys
from apps.queue.models import QueueEntry, Worker
from apps.tasks.integrity import complaints
from apps.tasks.models import Task
from apps.tenancy import lifecycle as tenancy
from apps.tenancy.context import in_app
app = tenancy.get("default")
with in_app(app):
    tasks = {
        str(task.pk): {
            "status": task.status, "output": task.output, "error": task.error, "attempt": task.attempt,
            "attempts": list(task.attempts.values_list("outcome", flat=True)),
            "approvals": list(task.approvals.values_list("kind", "tool", "status")),
        }
        for task in Task.objects.all()
    }
print(json.dumps({
    "tasks": tasks, "entries": QueueEntry.objects.count(), "complaints": complaints(app),
    "workers": list(Worker.objects.filter(stopped_at=None).values_list("pid", flat=True)),
    "leased": list(QueueEntry.objects.filter(state="leased").values_list("worker__pid", flat=True)),
}))
"""


class Site:
    """An installation whose agents write to a log."""

    def __init__(self, installation: Installation, path: Path) -> None:
        self.installation = installation
        self.log_file = path / "ran.log"
        self.log_file.touch()
        root = Path(__file__).resolve().parent.parent.parent
        installation.env |= {
            "HECTOR_TEST_LOG": str(self.log_file),
            "HECTOR_FUNCTION_ALLOW": "tests.system",
            "HECTOR_QUEUE_WORKERS": "2",
            "HECTOR_GRACE": "7s",
            "PYTHONPATH": str(root),
        }

    def submit(self, tasks: list[tuple[str, str]]) -> list[str]:
        ids: list[str] = json.loads(self.installation.python(SUBMIT, json.dumps(DOCUMENT), json.dumps(tasks)))
        return ids

    def look(self) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self.installation.python(LOOK))
        return seen

    def work(self, host: str = "one") -> Any:
        return self.installation.start("worker", env={"HECTOR_HOST_NAME": host})

    def ran(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self.log_file.read_text().splitlines())

    def pid_of(self, what: str) -> int:
        """The process that ran it last."""
        lines = [line.split() for line in self.log_file.read_text().splitlines()]
        return int([pid for name, pid in lines if name == what][-1])

    def ended(self, seconds: float = 60) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            seen = self.look()
            over = not any(task["status"] in ("pending", "running") for task in seen["tasks"].values())
            return seen if over else None

        return wait_for(look, seconds=seconds, what="all tasks rest")  # type: ignore[return-value]


DOCUMENT = document(
    {
        "note": {"type": "function", "handler": "tests.system.programs.note"},
        "die": {"type": "function", "handler": "tests.system.programs.die", "retry": {"max_retries": 1}},
        "slow": {"type": "function", "handler": "tests.system.programs.slow"},
        "careful": {"type": "llm", "llm": "two_tools", "tools": ["first", "second"], "retry": QUICK},
        "careless": {"type": "llm", "llm": "two_tools_again", "tools": ["first", "again"], "retry": QUICK},
    },
    {
        "two_tools": scripted(call("first", text="a"), call("second", text="b"), {"text": "All done."}),
        "two_tools_again": scripted(call("first", text="a"), call("again", text="b"), {"text": "All done."}),
    },
    {
        "first": {"type": "function", "handler": "tests.system.programs.first"},
        "second": {"type": "function", "handler": "tests.system.programs.second"},
        "again": {"type": "function", "handler": "tests.system.programs.second", "idempotent": True},
    },
)


@pytest.fixture
def site(installation: Installation, tmp_path: Path) -> Site:
    return Site(installation, tmp_path)


def test_a_killed_worker_is_replaced_and_its_task_goes_on_from_the_journal(site: Site) -> None:
    [task] = site.submit([("careless", "go")])
    site.work()
    wait_for(lambda: site.ran()["second"] == 1, seconds=40, what="the second tool started")
    os.kill(site.pid_of("second"), signal.SIGKILL)
    seen = site.ended()
    assert seen["tasks"][task]["output"] == {"text": "All done."}
    assert seen["tasks"][task]["attempts"] == ["crashed", "completed"]
    assert site.ran() == {"first": 1, "second": 2}  # the finished call ran once, the idempotent one again
    assert seen["complaints"] == []


def test_a_call_that_a_killed_worker_was_running_is_not_run_again_in_silence(site: Site) -> None:
    [task] = site.submit([("careful", "go")])
    site.work()
    wait_for(lambda: site.ran()["second"] == 1, seconds=40, what="the second tool started")
    os.kill(site.pid_of("second"), signal.SIGKILL)
    seen = site.ended()
    assert seen["tasks"][task]["status"] == "input_required"
    assert seen["tasks"][task]["approvals"] == [["in_doubt", "second", "open"]]
    assert seen["complaints"] == []
    assert site.ran() == {"first": 1, "second": 1}


def test_a_task_that_kills_every_worker_ends_in_the_dead_letters_and_others_run(site: Site) -> None:
    poison, *others = site.submit([("die", "x")] + [("note", f"n{number}") for number in range(20)])
    site.work()
    seen = site.ended()
    assert site.ran()["die"] == 2
    assert seen["tasks"][poison]["error"]["code"] == "worker_crashed"
    assert all(seen["tasks"][other]["status"] == "completed" for other in others)
    assert seen["complaints"] == []


def test_two_hosts_share_the_tasks_and_run_each_once(site: Site) -> None:
    count = 1000
    site.submit([("note", f"n{number}") for number in range(count)])
    site.work("one")
    site.work("two")
    seen = site.ended(seconds=90)
    ran = site.ran()
    assert len(ran) == count and set(ran.values()) == {1}
    assert {task["status"] for task in seen["tasks"].values()} == {"completed"}
    assert (seen["entries"], seen["complaints"]) == (0, [])


def test_a_worker_that_is_told_to_stop_hands_its_work_back_and_exits_with_0(site: Site) -> None:
    [task] = site.submit([("slow", "x")])
    process = site.work()
    wait_for(lambda: site.ran()["slow"] == 1, seconds=40, what="the task started")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    seen = site.look()
    assert (seen["tasks"][task]["status"], seen["tasks"][task]["attempt"]) == ("pending", 0)
    assert seen["tasks"][task]["attempts"] == ["released"]
    assert (seen["workers"], seen["leased"], seen["complaints"]) == ([], [], [])


def test_a_second_signal_stops_at_once(site: Site) -> None:
    site.installation.env["HECTOR_GRACE"] = "60s"
    site.submit([("slow", "x")])
    process = site.work()
    wait_for(lambda: site.ran()["slow"] == 1, seconds=40, what="the task started")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    wait_for(lambda: process.poll() is not None or process.send_signal(signal.SIGTERM), seconds=15, what="it stopped")
    assert process.returncode != 0


def test_a_killed_cluster_leaves_nobody_at_work(site: Site) -> None:
    process = site.work()
    pids: list[int] = wait_for(lambda: site.look()["workers"], seconds=40, what="the workers are on shift")
    process.kill()
    process.wait(10)
    wait_for(lambda: not any(_runs(pid) for pid in pids), seconds=30, what="the orphans ended")


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
