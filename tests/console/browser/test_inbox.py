"""The inbox in a real browser: somebody decides, with keys and on a phone; two people at once; how it looks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.approvals.matrix import Situation, Through, shows
from tests.console.browser.conftest import Begin
from tests.console.browser.visit import Visit

pytestmark = [pytest.mark.sampled("sqlite"), pytest.mark.xdist_group("browser")]  # as in test_console.py
DECIDED = "Decided. The task goes on."


@pytest.fixture
def anna(visit: Begin) -> Iterator[Visit]:
    with visit("anna") as visiting:
        yield visiting


def look_at(visiting: Visit, tool: str) -> Page:
    page = visiting.open(f"/approvals/?tool={tool}")
    page.get_by_role("link", name=f"Call {tool}").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Call {tool}")
    return page


def test_an_approver_approves_changes_rejects_and_answers_with_keys_and_several_at_once_on_a_phone(
    anna: Visit,
) -> None:
    page = anna.open("/approvals/?tool=approve_me")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Call approve_me")
    page.get_by_label("Comment").fill("I have looked, again")  # letters of a comment are no keys
    page.get_by_role("heading", name="Exact arguments").click()
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.get_by_text(DECIDED)).to_be_visible()

    page = look_at(anna, "edit_me")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys).to_contain_text("Change the arguments")
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()
    page.keyboard.press("e")
    page.get_by_label("amount").fill("7")
    page.get_by_role("button", name="Look at the changes…").click()
    expect(page.locator(".changes")).to_contain_text("- 5+ 7")
    page.keyboard.press("a")
    page.keyboard.press("Enter")
    expect(page.get_by_text(DECIDED)).to_be_visible()

    page = look_at(anna, "reject_me")
    page.get_by_label("Comment").fill("Too much")
    page.get_by_role("button", name="Reject").press("Enter")
    expect(page.get_by_text(DECIDED)).to_be_visible()

    page = anna.open("/approvals/?kind=question")
    page.get_by_role("link", name="Whom shall I pay?").click()
    page.get_by_label("who").select_option("Grace")
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_text(DECIDED)).to_be_visible()

    page.set_viewport_size({"width": 390, "height": 844})
    page = anna.open("/approvals/?tool=select_me")
    for box in page.get_by_role("checkbox", name="Select: Call select_me").all():
        box.check()
    page.get_by_role("button", name="Approve…").click()
    page.get_by_role("button", name="Approve 2 requests").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 approved, 0 skipped")
    expect(anna.open("/approvals/?tab=decided").locator(".asks > li")).to_have_count(6)


@shows(Situation.QUORUM, through=(Through.INBOX,))
def test_each_of_two_people_sees_at_once_what_the_other_decides_and_nothing_moves_under_the_hands(
    anna: Visit, visit: Begin
) -> None:
    page = look_at(anna, "four_eyes_me")
    with visit("otto") as otto:
        theirs = look_at(otto, "four_eyes_me")
        theirs.get_by_role("button", name="Approve").click()
        expect(theirs.get_by_text("Somebody else has to agree too.")).to_be_visible()
        expect(page.get_by_text("1 of 2 people agree so far")).to_be_visible()
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_text(DECIDED)).to_be_visible()

        page = anna.open("/approvals/?tool=watch_me")
        page.get_by_role("checkbox", name="Select: Call watch_me").check()
        look_at(otto, "watch_me").get_by_role("button", name="Reject").click()
        expect(page.get_by_role("button", name="There is something new: show it")).to_be_visible()
        page.get_by_role("button", name="Approve…").click()
        expect(page.get_by_text("It was closed already: reject by otto")).to_be_visible()


def test_every_page_of_the_inbox_fits_and_reads_well(anna: Visit) -> None:
    approval = look_at(anna, "look_at_me").url.removeprefix(anna.address).partition("?")[0]
    identity = approval.strip("/").rpartition("/")[2]
    anna.examine(
        "/approvals/", "/approvals/?tab=decided", "/approvals/grants/", approval, f"{approval}?edit=1",
        f"/approvals/batch/?decision=approve&id={identity}",
    )  # fmt: skip
