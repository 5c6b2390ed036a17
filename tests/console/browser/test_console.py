"""The console in a real browser, against a real installation with a worker."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.console.browser import site
from tests.console.browser.conftest import Begin
from tests.console.browser.visit import PASSWORD, Visit, api, state
from tests.support import environment

# What a browser makes of a page has little to do with the database: on PostgreSQL one test is enough of a sample.
# `make test` runs that one here and looks at the pages; the others are left to `make test-faults`.
pytestmark = [pytest.mark.sampled("sqlite"), pytest.mark.xdist_group("browser")]


@pytest.mark.sampled("sqlite", "postgresql")
def test_an_operator_submits_a_task_and_watches_it_complete_without_reloading(operator: Visit) -> None:
    page = operator.open("/admin/")
    page.get_by_role("link", name="Tasks", exact=True).click()
    page.get_by_role("link", name="New task").first.click()
    page.get_by_label("Agent").select_option("clerk")
    page.get_by_label("Input").fill("Where is order A-1042?")
    page.get_by_role("button", name="Submit task").click()
    page.evaluate("window.same = true")
    state(page, "completed")
    expect(page.locator("#part-output")).to_contain_text("It arrives on Thursday.")
    expect(page.locator("#part-timeline")).to_contain_text("Tool lookup_order")
    expect(page.locator("#part-conversation")).to_contain_text("Calls lookup_order")
    expect(page.locator("#why")).to_contain_text("Completed at the first attempt")
    assert page.evaluate("window.same") is True


@pytest.mark.sampled()
def test_what_was_unfolded_stays_so_while_the_page_renews_itself(operator: Visit) -> None:
    page = operator.submit("clerk", "word " * 1000)
    page.locator("#payload-input-fold > summary").click()
    page.mouse.move(0, 0)
    state(page, "completed")
    expect(page.locator("#payload-input-text")).to_be_visible()


@pytest.mark.sampled()
def test_an_operator_cancels_what_runs_and_retries_it(operator: Visit) -> None:
    page = operator.submit("slow", "Take your time")
    expect(page.locator("#why")).to_contain_text("Waiting for the model")
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_label("Reason").fill("It takes too long")
    page.get_by_role("button", name="Cancel this task").click()
    state(page, "cancelled")
    expect(page.locator("#part-timeline")).to_contain_text("It takes too long")
    page.get_by_role("link", name="Retry…").click()
    page.get_by_role("button", name="Retry this task").click()
    state(page, "running")
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel this task").click()
    state(page, "cancelled")


@pytest.mark.sampled()
def test_a_fork_goes_on_from_a_chosen_checkpoint_and_says_before_what_runs_again(operator: Visit) -> None:
    page = operator.submit("clerk", "Where is order A-1042?")
    state(page, "completed")
    page.get_by_role("link", name="Fork from checkpoint 1").click()
    expect(page.locator("#plan")).to_contain_text("These calls run: lookup_order.")
    page.get_by_label("Tool lookup_order answered").check()
    expect(page.locator("#plan")).not_to_contain_text("These calls run")  # else the first plan is still shown
    expect(page.locator("#plan")).to_contain_text("The model is asked anew: one recorded answer is set aside.")
    page.get_by_role("button", name="Fork this task").click()
    expect(page.locator("#part-timeline")).to_contain_text("Made as a fork")
    state(page, "completed")
    expect(page.locator("#part-timeline")).not_to_contain_text("Tool lookup_order")


@pytest.mark.sampled()
def test_the_app_is_switched_at_the_top(newcomer: Visit) -> None:
    page = newcomer.open("/admin/tasks/")
    page.get_by_label("App", exact=True).select_option("acme")
    expect(page).to_have_url(f"{newcomer.address}/admin/tasks/?app=acme")
    expect(page.get_by_text("No tasks yet.")).to_be_visible()
    newcomer.open("/admin/agents/")
    expect(page.get_by_text("This App has no agents yet.")).to_be_visible()


@pytest.mark.sampled()
def test_an_operator_invites_a_colleague_who_sees_that_app_only(newcomer: Visit, visit: Begin, address: str) -> None:
    secret = environment.SECRETS["HECTOR_AUTH_SECRET"]
    new = {"name": "initech", "display_name": "Initech", "config": site.DOCUMENT | {"name": "initech"}}
    assert api(address, secret, "/admin/apps", new)[0] == 201

    page = newcomer.open("/admin/accounts/user/?app=initech")
    page.get_by_role("link", name="Invite a colleague").click()
    page.get_by_label("Username").fill("mia")
    page.get_by_label("Role").select_option("operator")
    page.get_by_role("button", name="Invite").click()
    link = page.locator("#invitation").inner_text()

    newcomer.open("/admin/platform/apps/initech/")
    page.get_by_role("link", name="Tokens").click()
    page.get_by_label("What it is for").fill("Mia's scripts")
    page.get_by_role("button", name="Make the token").click()
    token = page.locator("#new-token").inner_text()

    with visit() as mia:
        theirs = mia.open(link.removeprefix(address))
        theirs.get_by_label("Password", exact=True).fill(PASSWORD)
        theirs.get_by_label("Once more").fill(PASSWORD)
        assert mia.accessibility() == []
        theirs.get_by_role("button", name="Set the password").click()
        mia.log_in("mia")
        assert theirs.get_by_label("App", exact=True).locator("option").all_inner_texts() == ["Initech"]
        expect(theirs.get_by_role("link", name="Queue and workers")).to_have_count(0)
        mia.submit("clerk", "Where is order A-1042?")
        state(theirs, "completed")
        task = theirs.url.rstrip("/").rpartition("/")[2]
        for elsewhere in ("/admin/tasks/?app=default", "/admin/tasks/?app=acme", "/admin/platform/apps/"):
            answer = theirs.context.request.get(address + elsewhere)
            assert answer.status in (403, 404), elsewhere

    assert api(address, token, f"/tasks/{task}")[1]["status"] == "completed"
    assert [found["id"] for found in api(address, token, "/tasks")[1]["results"]] == [task]
    assert api(address, token, "/admin/apps")[0] == 403
    trail = newcomer.open("/admin/audit/?of=people")
    expect(trail.get_by_text("Person invited")).to_be_visible()
    expect(trail.get_by_text("Token issued").first).to_be_visible()


@pytest.mark.sampled()
def test_the_theme_is_chosen_and_kept(newcomer: Visit) -> None:
    page = newcomer.open("/admin/")
    page.get_by_role("button", name="olga").click()
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html.dark")).to_have_count(1)
    newcomer.open("/admin/tasks/")
    expect(page.locator("html.dark")).to_have_count(1)


@pytest.mark.sampled()
def test_the_keyboard_reaches_search_and_rows(operator: Visit) -> None:
    operator.submit("clerk", "for the keyboard")
    page = operator.open("/admin/tasks/")
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).to_be_focused()
    page.keyboard.press("Escape")
    page.locator("[data-search]").blur()
    page.keyboard.press("j")
    expect(page.locator(".row-link").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("clerk: for the keyboard")


@pytest.mark.sampled()
def test_a_task_is_submitted_without_javascript(visit: Begin) -> None:
    with visit(java_script_enabled=False) as visiting:
        visiting.log_in()
        page = visiting.open("/admin/tasks/new/")
        page.get_by_label("Agent").select_option("report")
        page.get_by_role("button", name="Choose").click()
        page.get_by_label("Text").fill("three words here")
        page.get_by_role("button", name="Submit task").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("report:")


def test_every_page_fits_reads_well_and_raises_no_error(operator: Visit) -> None:
    task = operator.submit("broken", "This cannot work").url.removeprefix(operator.address)
    state(operator.page, "failed")
    operator.examine(
        "/admin/", "/admin/tasks/", "/admin/tasks/?status=failed&created=1h&q=cannot", "/admin/tasks/?q=nothing",
        "/admin/tasks/new/?agent=report", task, f"{task}retry/", f"{task}fork/",
        "/admin/agents/", "/admin/agents/clerk/",
        "/admin/dead-letters/", "/admin/dead-letters/letters/", "/admin/dead-letters/retry/?agent=broken",
        "/admin/dead-letters/discard/", "/admin/dead-letters/?status=discarded",
        "/admin/configuration/", "/admin/configuration/1/", "/admin/platform/apps/", "/admin/platform/apps/acme/",
        "/admin/platform/queue/", "/admin/platform/queue/pause/", "/admin/platform/queue/entries/?state=ready",
        "/admin/platform/apps/acme/tokens/", "/admin/platform/people/invite/", "/admin/accounts/user/", "/admin/audit/",
        "/admin/audit/?of=people", "/admin/events/", "/admin/webhooks/", "/admin/notifications/",
        "/admin/platform/apps/acme/delete/", "/admin/limits/", "/admin/platform/apps/default/limits/",
    )  # fmt: skip


@pytest.mark.sampled()
def test_limits_are_set_and_what_is_used_of_them_is_seen(operator: Visit) -> None:
    def limit(tasks: str, dollars: str) -> None:
        page = operator.open("/admin/platform/apps/default/limits/")
        page.get_by_role("textbox", name="Tasks").fill(tasks)
        page.get_by_label("Dollars").fill(dollars)
        page.get_by_role("button", name="Save the limits").click()
        expect(page.get_by_text("they hold within a second")).to_be_visible()

    limit("2/366d, 5000/1d", "20/1d:ask")
    operator.submit("clerk", "one")
    page = operator.open("/admin/limits/")
    expect(page.get_by_text("1 of 2")).to_be_visible()
    operator.submit("clerk", "two")
    expect(operator.open("/admin/limits/").get_by_text("Used up.")).to_be_visible()
    operator.examine("/admin/limits/", "/admin/platform/apps/default/", "/admin/platform/apps/default/limits/")
    limit("", "")


def test_the_login_page_reads_well(visit: Begin) -> None:
    with visit() as visiting:
        visiting.examine("/admin/login/")
