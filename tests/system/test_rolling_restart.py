"""Hosts are replaced one after the other, under load, and nobody who submits or waits notices."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.agents import QUICK, call, document, scripted
from tests.support.work import wait_for
from tests.system.site import Site

TOOL = {"type": "function", "handler": "tests.system.programs.step"}
DOCUMENT = document(
    {
        "paced": {"type": "function", "handler": "tests.system.programs.paced", "retry": QUICK},
        "stepwise": {"type": "llm", "llm": "two_steps", "tools": ["step"], "retry": QUICK},
    },
    {"two_steps": scripted(call("step"), call("step"), {"text": "All done."})},
    {"step": TOOL},
)
BATCH = 12  # tasks of each kind


@pytest.mark.sampled("postgresql")
def test_a_rolling_restart_of_two_hosts_under_load_loses_and_repeats_nothing(
    site_with: Callable[[dict[str, Any]], Site],
) -> None:
    site = site_with(DOCUMENT)
    submitted: list[str] = []

    def submit() -> None:
        first = len(submitted)
        tasks = [("paced", f"n{first + number}") for number in range(BATCH)] + [("stepwise", "go")] * BATCH
        submitted.extend(site.submit(tasks))

    old = [site.work("one"), site.work("two")]
    wait_for(lambda: len(site.on_shift()) == 4, seconds=40, what="two hosts are on shift")
    for number, host in enumerate(old):
        submit()
        host.send_signal(signal.SIGTERM)
        submit()
        assert host.wait(30) == 0
        site.work(("one", "two")[number])
        submit()
        wait_for(lambda: len(site.on_shift()) == 4, seconds=40, what="the new host is on shift")
    seen = site.ended(seconds=60)
    tasks = seen["tasks"]
    assert set(tasks) == set(submitted)
    assert {task["status"] for task in tasks.values()} == {"completed"}
    assert {task["attempt"] for task in tasks.values()} == {1}  # none was spent
    assert {outcome for task in tasks.values() for outcome in task["attempts"]} <= {"completed", "released"}
    ran = site.ran()
    assert ran.pop("step") == len(submitted)  # two each, of half of them
    assert len(ran) == len(submitted) // 2 and set(ran.values()) == {1}
    assert (seen["entries"], seen["complaints"]) == (0, [])
