"""A task that cannot be done ends in the dead letters, however it dies, and hurts no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.agents import document
from tests.system.site import Site

THRICE = {"max_retries": 3, "initial_delay": "20ms", "max_delay": "50ms"}  # the default number
DEATHS = ("boom", "die", "overrun", "devour")


def _agent(name: str, **options: object) -> dict[str, object]:
    return {"type": "function", "handler": f"tests.system.programs.{name}", "retry": THRICE, **options}


DOCUMENT = document(
    {name: _agent(name) for name in ("boom", "die", "devour", "note")} | {"overrun": _agent("overrun", timeout="300ms")}
)


@pytest.mark.sampled("sqlite")
def test_a_poison_task_ends_in_the_dead_letters_however_it_dies(site_with: Callable[[dict[str, Any]], Site]) -> None:
    site = site_with(DOCUMENT)
    submitted = site.submit([(name, "x") for name in DEATHS] + [("note", f"n{number}") for number in range(5)])
    site.work()
    seen = site.ended()
    tasks = seen["tasks"]
    poison = {name: tasks[task] for name, task in zip(DEATHS, submitted, strict=False)}
    assert {name: task["status"] for name, task in poison.items()} == dict.fromkeys(DEATHS, "failed")
    assert {name: len(task["attempts"]) for name, task in poison.items()} == dict.fromkeys(DEATHS, 4)
    assert set(poison["die"]["attempts"]) == {"crashed"}
    assert poison["overrun"]["error"]["code"] == "timed_out"
    assert "failed" in poison["devour"]["attempts"]  # it is an error like any other, and not the worker's end
    assert site.ran()["die"] == 4
    others = [tasks[task] for task in submitted[len(DEATHS) :]]
    assert {task["status"] for task in others} == {"completed"}
    assert seen["complaints"] == []
