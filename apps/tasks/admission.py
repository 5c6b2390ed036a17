"""Which new tasks the App's limits and budgets, and those of the token, let in.

Tasks are counted in the transaction that accepts them, wherever they come from: one that is not accepted is not
counted, nor is a retry, which is the same task again. A budget that is used up lets nobody in until its window ends,
but for one that asks: its tasks come in, and ask. Where there are no limits, all of this costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from django.db import transaction

from apps.quotas import counting, rules
from apps.quotas.counting import OverLimit
from apps.quotas.models import Use
from apps.quotas.rules import Rule
from apps.tasks.errors import TooMuch
from apps.tasks.models import Task
from apps.tenancy.models import App


@contextmanager
def counted(app: App, tasks: Sequence[Task], *, by: str) -> Iterator[None]:
    """A transaction that accepts the tasks, where there is something to count them against. Raises TooMuch."""
    found = _rules(app, by)
    if not found:
        yield
        return
    with transaction.atomic():
        _count(found, tasks, by)
        yield


def count(app: App, tasks: Sequence[Task], *, by: str) -> None:
    """The same within the transaction of whoever accepts them."""
    if found := _rules(app, by):
        _count(found, tasks, by)


def _rules(app: App, by: str) -> list[Rule]:
    return [rule for rule in rules.applying(app, by) if rule.resource != Use.Resource.REQUESTS]


def _count(found: Sequence[Rule], tasks: Sequence[Task], by: str) -> None:
    spent = counting.used_up([rule for rule in found if rule.on_breach != rules.ASK])
    if spent:
        raise TooMuch(max(spent, key=lambda standing: standing.ends_in))
    try:
        counting.take(found, Use.Resource.TASKS, Counter(task.agent for task in tasks), caller=by)
    except OverLimit as over:
        raise TooMuch(over.standing) from None
