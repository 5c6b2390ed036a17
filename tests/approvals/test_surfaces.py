"""What holds whoever decides where: through the API and on the command line the same is possible, and refused."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from apps.approvals import due
from apps.approvals.models import Approval, Decision
from apps.queue.models import QueueEntry
from apps.tasks.integrity import complaints
from apps.tasks.models import TaskStatus
from apps.tenancy.models import App
from tests.approvals.matrix import Situation, Through, shows
from tests.approvals.test_policies import EXPIRES, call, one, overdue, policy
from tests.support.deciding import SURFACES, Api, CommandLine, Refused, Surface
from tests.support.doubt import asked
from tests.support.transitions import fresh

pytestmark = pytest.mark.parametrize("surface", SURFACES)
Make = Callable[[], Surface]
BOTH = (Through.API, Through.COMMAND_LINE)


@shows(Situation.QUORUM, through=BOTH)
def test_a_quorum_of_two_takes_somebody_else_too(app: App, surface: Make) -> None:
    task = asked(app, call(policy=policy(required=2)))
    first, second = surface(), Api("admin") if surface is CommandLine else CommandLine()
    first.approve(str(one(task).pk))
    assert (one(task).status, fresh(task).status) == ("open", TaskStatus.INPUT_REQUIRED)
    with pytest.raises(Refused, match="You have decided so already; somebody else has to agree too"):
        first.approve(str(one(task).pk))
    second.approve(str(one(task).pk))
    assert (one(task).status, fresh(task).status) == ("approved", TaskStatus.PENDING)


@shows(Situation.EXCLUDED, through=BOTH)
def test_whoever_asked_for_the_task_is_excluded_where_four_eyes_are_asked_for(app: App, surface: Make) -> None:
    person = surface()
    confirmed = asked(app, call(policy=policy()))
    person.approve(str(one(confirmed).pk))
    actor = one(confirmed).decisions.get().actor
    task = asked(app, call(policy=policy(exclude_requester=True)))
    Approval.objects.filter(task=task).update(requester=actor)
    with pytest.raises(Refused, match=r"You asked for the task\. Four eyes: "):
        person.approve(str(one(task).pk))
    assert one(task).status == "open"


@shows(Situation.EXPIRE, Situation.LATE, through=BOTH)
@pytest.mark.parametrize("outcome", ["approve", "reject", "fail"])
def test_it_is_too_late_when_the_time_is_over_and_how_it_was_closed_is_shown(
    app: App, surface: Make, outcome: str
) -> None:
    person = surface()
    task = asked(app, call(policy=policy(**EXPIRES, on_expiry=outcome)))
    overdue(one(task))
    with pytest.raises(Refused, match="its time was over"):
        person.approve(str(one(task).pk))
    due.fire(app, one(task).pk)
    [shown] = person.approvals("expired")
    assert (shown["id"], shown["outcome"]) == (str(one(task).pk), outcome)
    with pytest.raises(Refused, match=f"nobody decided until .* counts as {outcome}"):
        person.reject(shown["id"])


@shows(Situation.ESCALATE, through=BOTH)
def test_others_decide_once_it_is_escalated(app: App, surface: Make) -> None:
    """On the command line one is a platform operator, whom a policy that means a role means."""
    person = surface()
    first = policy(**EXPIRES, required=2, on_expiry="escalate", escalate_to={"approvers": {"role": "admin"}})
    task = asked(app, call(policy=first))
    person.approve(str(one(task).pk))
    overdue(one(task))
    due.fire(app, one(task).pk)
    [shown] = person.approvals()
    assert shown["escalated_at"] and "somebody with the role admin has to agree" in shown["explanation"]
    if surface is Api:
        with pytest.raises(Refused, match="You are not among those who may decide about this"):
            person.approve(shown["id"])
    (Api("admin") if surface is Api else person).approve(shown["id"])
    assert (one(task).status, fresh(task).status) == ("approved", TaskStatus.PENDING)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [({"amount": 101}, "101 is greater than the maximum of 100"), ({}, "'amount' is a required property")],
    ids=["too much", "missing"],
)
def test_arguments_that_do_not_fit_the_schema_are_refused(
    app: App, surface: Make, arguments: dict[str, Any], told: str
) -> None:
    task = asked(app, call())
    with pytest.raises(Refused, match=told):
        surface().approve(str(one(task).pk), arguments=arguments)
    assert one(task).status == "open" and not Decision.objects.exists()


def test_what_does_not_exist_is_said_not_to(app: App, surface: Make) -> None:
    task = asked(app, call())
    with pytest.raises(Refused, match="There is no "):
        surface().approve(str(task.pk))


@shows(Situation.CONCURRENT, through=BOTH)
@pytest.mark.django_db(transaction=True)
def test_of_several_who_decide_at_once_one_wins_and_the_others_are_told_so(app: App, surface: Make) -> None:
    task = asked(app, call())
    approval = str(one(task).pk)
    people = [surface() for _ in range(3)]
    told: list[str] = []
    start = threading.Barrier(len(people))

    def decides(person: Surface) -> None:
        try:
            start.wait()
            person.approve(approval)
            told.append("")
        except Refused as refused:
            told.append(str(refused))
        finally:
            connection.close()

    threads = [threading.Thread(target=decides, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    won, *lost = sorted(told)
    assert won == "" and len(lost) == 2
    assert all("This was closed already: approve by " in sentence for sentence in lost)
    assert (Decision.objects.count(), QueueEntry.objects.count(), complaints(app)) == (1, 1, [])
