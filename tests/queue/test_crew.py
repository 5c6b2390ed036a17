"""Which shift of a host goes first when all of them are woken."""

from __future__ import annotations

from apps.queue.shared import Crew


def turns(pids: list[int], running: list[int]) -> list[int]:
    return [Crew(pids, running, place).turn() for place in range(len(pids))]


def test_of_idle_shifts_one_goes_first_and_the_others_one_after_the_other() -> None:
    assert turns([11, 12, 13], [0, 0, 0]) == [0, 1, 2]


def test_a_busier_shift_lets_the_others_go_first() -> None:
    assert turns([11, 12, 13], [4, 0, 1]) == [2, 0, 1]


def test_nobody_waits_for_an_empty_place() -> None:
    assert turns([0, -1, -2, 14], [0, 0, 0, 7])[3] == 0


def test_what_a_shift_says_of_itself_counts_for_all() -> None:
    pids, running = [11, 12], [0, 0]
    first, second = Crew(pids, running, 0), Crew(pids, running, 1)
    first.say(3)
    assert (first.turn(), second.turn()) == (1, 0)
