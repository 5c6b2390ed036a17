"""What people decide in the inbox, in a real browser, and what a worker makes of it; and what is refused, with why.

The same situations as through the API and on the command line (`tests.approvals.matrix`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.approvals.matrix import Situation, Through, shows
from tests.console.browser.conftest import Begin, Served
from tests.console.browser.visit import Visit, api
from tests.support import environment
from tests.support.work import wait_for

pytestmark = [pytest.mark.sampled(), pytest.mark.xdist_group("browser")]
INBOX = (Through.INBOX,)
DECIDED = "Decided. The task goes on."


@pytest.fixture
def dora(visit: Begin) -> Iterator[Visit]:
    with visit("dora") as visiting:
        yield visiting


@pytest.fixture
def dirk(visit: Begin) -> Iterator[Visit]:
    with visit("dirk") as visiting:
        yield visiting


@pytest.fixture
def ada(visit: Begin) -> Iterator[Visit]:
    """The admin of the App."""
    with visit("ada") as visiting:
        yield visiting


def call(address: str, path: str, body: dict[str, Any] | None = None, **headers: str) -> Any:
    secret = environment.SECRETS["HECTOR_AUTH_SECRET"]
    status, found = api(address, secret, path, body, app="desk", **headers)
    assert status < 300, found
    return found


def submitted(address: str, agent: str) -> dict[str, Any]:
    """A task of that agent, once it has come to rest: it waits for people, or has ended."""
    return call(address, "/tasks", {"agent": agent, "input": "Go"}, Prefer="wait=30")  # type: ignore[no-any-return]


def completed(address: str, task: dict[str, Any]) -> dict[str, str]:
    """Waits until the task is; what was recorded as the result of each of its calls, as text."""
    wait_for(lambda: call(address, f"/tasks/{task['id']}")["status"] == "completed", what="the task is completed")
    points = call(address, f"/tasks/{task['id']}/checkpoints")["results"]
    return {point["key"]: json.dumps(point["value"]) for point in points if point["kind"] == "tool_result"}


def look_at(visiting: Visit, task: dict[str, Any], tool: str = "") -> Page:
    """The page of what the task asks (with that tool)."""
    [approval] = [asked for asked in task["approvals"] if tool in ("", asked["tool"])]
    return visiting.open(f"/approvals/{approval['id']}/")


def press(page: Page, name: str, then: str = DECIDED) -> None:
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_text(then).first).to_be_visible()


def refused(visiting: Visit, status: int) -> None:
    """The browser has complained about exactly one answer of that status: that is what the test is about."""
    [complaint] = visiting.complaints
    assert f"status of {status}" in complaint
    visiting.complaints.clear()


@shows(
    *(Situation.APPROVE, Situation.EDIT, Situation.REJECT, Situation.ANSWER, Situation.SEVERAL),
    *(Situation.FUNCTION, Situation.COMMAND, Situation.MCP),
    through=INBOX,
)
def test_each_call_of_one_answer_is_decided_by_itself_and_has_its_own_result(dora: Visit, address: str) -> None:
    """A function (changed), another (rejected), a command, a tool of an MCP server, and a question."""
    task = submitted(address, "turn")
    badge = dora.open("/approvals/").locator("[data-waiting]")
    waiting = int(badge.inner_text())

    page = look_at(dora, task, "look_up")
    page.get_by_role("link", name="Change…").click()
    page.get_by_label("number").fill("A-9")
    page.get_by_role("button", name="Look at the changes…").click()
    press(page, "Approve with these changes", "Decided. The task waits for 4 more decisions.")
    expect(badge).to_have_text(str(waiting - 1))
    page = look_at(dora, task, "in_time")
    page.get_by_label("Comment").fill("Not today")
    press(page, "Reject", "Decided. The task waits for 3 more decisions.")
    press(look_at(dora, task, "say"), "Approve", "Decided. The task waits for 2 more decisions.")
    press(look_at(dora, task, "add"), "Approve", "Decided. The task waits for 1 more decision.")
    page = look_at(dora, task, "ask")
    page.get_by_label("colour").select_option("blue")
    press(page, "Answer")

    told = completed(address, task)
    changed, rejected, said, added, answered = (told[f"tool:1:call_0_{number}"] for number in range(5))
    assert "Order numbers look like" in changed and "A-9" in changed
    assert "Not today" in rejected and "did not run" in rejected
    assert "Hello" in said and "3" in added and '{"colour": "blue"}' in answered


@shows(Situation.RESTART, through=INBOX)
def test_what_waits_is_still_there_after_all_was_started_anew(dora: Visit, served: Served) -> None:
    task = submitted(served.address, "one")
    served.stop()
    served.start()
    press(look_at(dora, task), "Approve")
    assert "shipped" in completed(served.address, task)["tool:1:call_0_0"]


@shows(Situation.EXPIRE, Situation.LATE, through=INBOX)
def test_the_page_says_when_nobody_has_decided_in_time_and_it_is_too_late_then(
    dora: Visit, visit: Begin, address: str
) -> None:
    task = submitted(address, "hurried")
    page = look_at(dora, task)
    expect(page.locator(".deadline")).to_be_visible()
    with visit("dora", java_script_enabled=False) as elsewhere:  # a page that does not renew itself
        old = look_at(elsewhere, task)
        expect(page.get_by_text("Nobody decided in time. That counts as rejected.")).to_be_visible()
        expect(page.get_by_role("button", name="Approve")).to_be_hidden()
        press(old, "Approve", "This was closed already: nobody decided until")
        refused(elsewhere, 409)
    assert "Nobody approved this call in time; it did not run." in completed(address, task)["tool:1:call_0_0"]


@shows(Situation.ESCALATE, through=INBOX)
def test_others_are_asked_when_nobody_has_decided_and_those_who_were_asked_first_are_not_any_more(
    dora: Visit, ada: Visit, address: str
) -> None:
    task = submitted(address, "escalated")
    page = look_at(dora, task)
    expect(page.get_by_role("button", name="Approve")).to_be_enabled()
    expect(page.locator("#part-head")).to_contain_text("It was escalated")  # by itself
    press(page, "Approve", "You are not among those who may decide about this.")
    refused(dora, 403)
    theirs = ada.open("/approvals/?tool=escalated")
    theirs.get_by_role("link", name="Call escalated").click()
    press(theirs, "Approve")
    assert "shipped" in completed(address, task)["tool:1:call_0_0"]


@shows(Situation.EXCLUDED, through=INBOX)
def test_whoever_asked_for_the_task_sees_why_they_cannot_decide_and_somebody_else_does(
    ada: Visit, dora: Visit, address: str
) -> None:
    task = ada.submit("four_eyes", "Go")
    task.get_by_role("link", name="Call four_eyes").first.click()
    expect(task.get_by_text("You asked for the task. Four eyes:")).to_be_visible()
    expect(task.get_by_role("button", name="Approve")).to_be_disabled()
    expect(ada.open("/approvals/?tool=four_eyes").get_by_text("No approval matches.")).to_be_visible()
    page = dora.open("/approvals/?tool=four_eyes")
    page.get_by_role("link", name="Call four_eyes").click()
    press(page, "Approve")


@pytest.mark.sampled("sqlite")
@shows(Situation.CONCURRENT, through=INBOX)
def test_of_two_who_press_at_once_one_decides_and_the_other_is_told_who_was_faster(
    dora: Visit, dirk: Visit, address: str
) -> None:
    task = submitted(address, "one")
    pages = {"dora": look_at(dora, task), "dirk": look_at(dirk, task)}
    for page in pages.values():
        at = "Math.ceil(Date.now() / 1000 + 1) * 1000 - Date.now()"
        page.evaluate(f"setTimeout(() => document.querySelector('[name=decision][value=approve]').click(), {at})")
    for page in pages.values():
        expect(page.get_by_text(DECIDED).or_(page.get_by_role("alert"))).to_be_visible()
    [winner] = [name for name, page in pages.items() if page.get_by_text(DECIDED).is_visible()]
    loser = dirk if winner == "dora" else dora
    expect(loser.page.get_by_role("alert")).to_contain_text(f"This was closed already: approve by {winner}")
    refused(loser, 409)
    assert len(completed(address, task)) == 1


@pytest.mark.sampled("postgresql")
@shows(Situation.GRANT_USED, Situation.GRANT_REVOKED, through=INBOX)
def test_a_grant_lets_further_calls_run_until_it_is_revoked(dora: Visit, address: str) -> None:
    page = look_at(dora, submitted(address, "two"))
    page.get_by_label("Until when").fill("2099-01-31T14:00")
    page.get_by_role("radio", name="Every call of look_up by two until").check()
    press(page, "Approve")
    completed(address, submitted(address, "two"))  # neither of its calls asks
    page = dora.open("/approvals/grants/")
    expect(page.get_by_role("row").filter(has_text="look_up by two")).to_contain_text("dora")
    expect(page.get_by_role("cell", name="3", exact=True)).to_be_visible()
    page.get_by_role("link", name="Revoke the grant of look_up").click()
    page.get_by_label("Reason").fill("The sale is over")
    press(page, "Revoke this grant", "The grant is revoked: look_up asks again.")
    assert submitted(address, "two")["status"] == "input_required"
