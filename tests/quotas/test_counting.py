"""What passes a limit: exactly as much as may, however many ask at once, and anew in each window."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.quotas import counting, rules
from apps.quotas.counting import OverLimit
from apps.quotas.models import Use
from apps.quotas.rules import Rule
from apps.tasks import retention
from apps.tenancy.context import in_app
from apps.tenancy.models import App
from tests.quotas import clock

TASKS = Use.Resource.TASKS


def rule(limit: int, seconds: int = 60, *, caller: str = "") -> Rule:
    return Rule(Use.Kind.CALLER if caller else Use.Kind.APP, caller, TASKS, limit, seconds)


def passes(found: list[Rule], n: int = 1, caller: str = "anna") -> bool:
    try:
        counting.take(found, TASKS, {"echo": n}, caller=caller)
    except OverLimit:
        return False
    return True


def used(**which: object) -> int:
    return sum(Use.objects.filter(**which).values_list("used", flat=True))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("limits", [[(25, 86400)], [(25, 86400), (90, 3600)]], ids=["one", "two"])
def test_of_many_who_ask_at_once_exactly_as_many_pass_as_may(app: App, limits: list[tuple[int, int]]) -> None:
    found = [rule(*limit) for limit in limits]

    def ask(_: int) -> int:
        try:
            with in_app("acme"):
                return sum(passes(found) for _ in range(10))
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(ask, range(8))) == 25
    for _, seconds in limits:
        assert used(kind="app", seconds=seconds) == 25, "what was refused by one limit is counted by none"
    assert used(kind="agent", name="echo", seconds=86400) == used(kind="caller", name="anna", seconds=86400) == 25


def test_each_window_begins_with_nothing_used_and_ends_by_the_clock_of_the_database(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [rule(2)]
    for second, expected in [(59.0, True), (59.5, True), (59.999, False), (60.0, True), (60.4, True), (61.0, False)]:
        clock.stop(monkeypatch, 1_699_920_000 + second)
        assert passes(found) is expected, second
    assert list(Use.objects.filter(kind="app").order_by("start").values_list("start", "used")) == [
        (1_699_920_000, 2),
        (1_699_920_060, 2),
    ]


def test_who_is_refused_is_told_when_the_longest_of_the_full_windows_ends(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock.stop(monkeypatch, 1_699_920_030)
    found = [rule(1), rule(1, 3600), rule(5, 86400)]
    assert passes(found)
    with pytest.raises(OverLimit) as refused:
        counting.take(found, TASKS, {"echo": 1}, caller="anna")
    assert (refused.value.standing.rule, refused.value.standing.ends_in) == (found[1], 3600 - 30)
    assert str(refused.value) == (
        "the App may use 1 task per 1h, which is used up: the next window begins at 2023-11-14T01:00:00Z, in 3570 s"
    )


def test_a_token_is_held_to_its_own_limit_and_uses_that_of_the_app(app: App) -> None:
    of_app, of_token = rule(3), rule(1, caller="app:acme/1")
    assert [passes([of_app, of_token], caller="app:acme/1") for _ in range(2)] == [True, False]
    assert [passes([of_app], caller="app:acme/2") for _ in range(3)] == [True, True, False]


def test_more_at_once_than_the_limit_never_pass_and_leave_no_mark(app: App) -> None:
    assert not passes([rule(3)], 4)
    assert not Use.objects.exists()
    assert passes([rule(3)], 3) and not passes([rule(3)])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 200), st.integers(1, 4), st.sampled_from(["anna", "ben"])), max_size=25),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_the_counter_does_what_counting_by_hand_does(
    app: App, asked: list[tuple[int, int, str]], short: int, long: int
) -> None:
    """Whatever is asked for and when: the same pass as where somebody keeps a tally of each window."""
    found, tally = [rule(short, 10), rule(long, 60), rule(short, 60, caller="anna")], Counter[object]()
    Use.objects.all().delete()
    with pytest.MonkeyPatch.context() as patch:
        for second, n, caller in sorted(asked):
            clock.stop(patch, 1_699_920_000 + second)
            held = [one for one in found if one.name in ("", caller)]
            windows = [(one, second // one.seconds) for one in held]
            fits = all(tally[window] + n <= window[0].limit for window in windows)
            assert passes(held, n, caller) is fits
            tally.update(dict.fromkeys(windows, n) if fits else {})


def test_windows_that_are_over_are_pruned(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        clock.stop(patch, 1_699_920_000)
        assert passes([rule(5), rule(5, 3600)])
    assert passes([rule(5, 366 * 86400)])
    assert retention.prune(app)["quotas_use"] == 6
    assert used(kind="app", seconds=366 * 86400) == Use.objects.count() - 2 == 1


def test_money_is_counted_exactly_however_small() -> None:
    assert rules.units("cost_usd", Decimal("0.000000001")) == 1
    assert sum(rules.units("cost_usd", Decimal("0.1")) for _ in range(10)) == rules.units("cost_usd", 1)
    assert rules.amount("cost_usd", rules.units("cost_usd", 2.5)) == 2.5


@pytest.mark.parametrize("text", ["100/1m", "100/1m, 5000/1d", "2.5/1d:ask, 30/30d:wait"])
def test_limits_are_read_as_they_are_written(text: str) -> None:
    parsed = rules.from_text(text)
    seconds = {"1m": 60, "1d": 86400, "30d": 2592000}
    assert rules.as_text([{**one, "window": seconds[one["window"]]} for one in parsed]) == text


@pytest.mark.parametrize("text", ["100", "ten/1m", "100/1m:", "/1m,"])
def test_what_is_no_limit_is_refused_with_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match="write a number, / and a window, as in 100/1m"):
        rules.from_text(text)
