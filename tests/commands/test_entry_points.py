"""`hector entry-points` and `trigger`."""

from __future__ import annotations

from tests.commands.conftest import Hector
from tests.support.work import working


def test_an_entry_point_is_listed_and_triggered(hector: Hector) -> None:
    [line] = [line for line in hector("entry-points").out.splitlines() if line.startswith("repeat")]
    assert line.split(None, 5) == ["repeat", "api", "echo", "active", "0", "Says it again"]
    first = hector("trigger", "repeat", "Hello")
    assert first.code == 0, first.err
    id = first.out.strip()
    with working():
        done = hector("trigger", "repeat", "--input", '{"text": "Hi"}', "--wait")
    assert (done.code, done.json) == (0, {"echo": {"text": "Hi, twice"}})
    shown = hector("entry-points", "repeat").out
    assert id in shown and shown.count("started") == 2
    assert "repeat" in [one["id"] for one in hector("entry-points", "--json").json["results"]]
    assert len(hector("tasks", "--entry-point", "repeat", "--json").json["results"]) == 2


def test_timers_are_paused_and_resumed(hector: Hector) -> None:
    paused = hector("timers", "pause", "--reason", "Maintenance")
    assert (paused.code, paused.out) == (0, "All timers (1) are paused.\n")
    assert hector("timers", "resume", "--json").json == {"paused": False, "timers": 1}
    assert hector("timers", "pause", "often").out == "often is paused.\n"
    assert "often   timer   echo   paused" in hector("entry-points").out
    assert hector("timers", "resume", "often").out == "often is active.\n"
    assert hector("timers", "pause", "nobody").code == 1


def test_what_an_entry_point_cannot_do_is_a_sentence(hector: Hector) -> None:
    assert hector("trigger", "nobody").code == 1
    nothing = hector("trigger", "strict", "Hello")
    assert (nothing.code, nothing.out) == (1, "") and "has no attribute 'order'" in nothing.err
