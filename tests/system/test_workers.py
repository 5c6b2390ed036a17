"""Worker processes as they run in production: killed, stopped, on two hosts at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.agents import QUICK, call, document, scripted
from tests.support.work import wait_for
from tests.system.site import Site

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
def site(site_with: Callable[[dict[str, Any]], Site]) -> Site:
    return site_with(DOCUMENT)


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
    assert seen["tasks"][task]["approvals"] == [("in_doubt", "second", "open")]
    assert seen["complaints"] == []
    assert site.ran() == {"first": 1, "second": 1}


@pytest.mark.sampled("postgresql")
def test_a_task_that_kills_every_worker_ends_in_the_dead_letters_and_others_run(site: Site) -> None:
    poison, *others = site.submit([("die", "x")] + [("note", f"n{number}") for number in range(8)])
    site.work()
    seen = site.ended()
    assert site.ran()["die"] == 2
    assert seen["tasks"][poison]["error"]["code"] == "worker_crashed"
    assert all(seen["tasks"][other]["status"] == "completed" for other in others)
    assert seen["complaints"] == []


@pytest.mark.sampled("postgresql")
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
    assert (site.on_shift(), seen["leased"], seen["complaints"]) == ([], [], [])


def test_a_second_signal_stops_at_once(site: Site) -> None:
    site.installation.env["HECTOR_GRACE"] = "60s"
    site.submit([("slow", "x")])
    process = site.work()
    wait_for(lambda: site.ran()["slow"] == 1, seconds=40, what="the task started")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)

    def stopped() -> bool:
        process.send_signal(signal.SIGTERM)
        return process.poll() is not None

    wait_for(stopped, seconds=15, what="it stopped")
    assert process.returncode != 0


def test_a_killed_cluster_leaves_nobody_at_work(site: Site) -> None:
    process = site.work()
    pids = wait_for(site.on_shift, seconds=40, what="the workers are on shift")
    process.kill()
    process.wait(10)
    wait_for(lambda: not any(_runs(pid) for pid in pids), seconds=30, what="the orphans ended")


def _runs(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
