"""A task that cannot be done ends in the dead letters, however it dies, and hurts no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.agents import document
from tests.support.installation import Installation
from tests.system import test_workers
from tests.system.test_workers import Site

THRICE = {"max_retries": 3, "initial_delay": "20ms", "max_delay": "50ms"}  # the default number
DEATHS = ("boom", "die", "overrun", "devour")


def _agent(name: str, **options: object) -> dict[str, object]:
    return {"type": "function", "handler": f"tests.system.programs.{name}", "retry": THRICE, **options}


DOCUMENT = document(
    {name: _agent(name) for name in ("boom", "die", "devour", "note")} | {"overrun": _agent("overrun", timeout="300ms")}
)


@pytest.fixture
def site(installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(test_workers, "DOCUMENT", DOCUMENT)
    return Site(installation, tmp_path)


def test_a_poison_task_ends_in_the_dead_letters_however_it_dies(site: Site) -> None:
    submitted = site.submit([(name, "x") for name in DEATHS] + [("note", f"n{number}") for number in range(10)])
    site.work()
    tasks = site.ended()["tasks"]
    poison = {name: tasks[task] for name, task in zip(DEATHS, submitted, strict=False)}
    assert {name: task["status"] for name, task in poison.items()} == dict.fromkeys(DEATHS, "failed")
    assert {name: len(task["attempts"]) for name, task in poison.items()} == dict.fromkeys(DEATHS, 4)
    assert set(poison["die"]["attempts"]) == {"crashed"}
    assert poison["overrun"]["error"]["code"] == "timed_out"
    assert "failed" in poison["devour"]["attempts"]  # it is an error like any other, and not the worker's end
    assert site.ran()["die"] == 4
    others = [tasks[task] for task in submitted[len(DEATHS) :]]
    assert {task["status"] for task in others} == {"completed"}
    assert site.look()["complaints"] == []
