"""`hector entry-points` and `trigger`."""

from __future__ import annotations

from tests.commands.conftest import Hector
from tests.support.work import working


def test_an_entry_point_is_listed_and_triggered(hector: Hector) -> None:
    assert hector("entry-points").out.splitlines()[1].split(None, 5) == [
        *("repeat", "api", "echo", "active", "0"),
        "Says it again",
    ]
    first = hector("trigger", "repeat", "Hello")
    assert first.code == 0, first.err
    id = first.out.strip()
    with working():
        done = hector("trigger", "repeat", "--input", '{"text": "Hi"}', "--wait")
    assert (done.code, done.json) == (0, {"echo": {"text": "Hi, twice"}})
    shown = hector("entry-points", "repeat").out
    assert id in shown and shown.count("started") == 2
    assert hector("entry-points", "--json").json["results"][0]["id"] == "repeat"
    assert len(hector("tasks", "--entry-point", "repeat", "--json").json["results"]) == 2


def test_what_an_entry_point_cannot_do_is_a_sentence(hector: Hector) -> None:
    assert hector("trigger", "nobody").code == 1
    nothing = hector("trigger", "strict", "Hello")
    assert (nothing.code, nothing.out) == (1, "") and "has no attribute 'order'" in nothing.err
