"""The inbox: tabs, rows and filters; several decisions at once; grants."""

from __future__ import annotations

import html
import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts.models import User
from apps.approvals import lifecycle
from apps.approvals.grants import Terms
from apps.approvals.models import Approval, Decision, Grant
from apps.tasks import lifecycle as tasks
from apps.tasks.models import Event, TaskStatus
from apps.tenancy.models import App
from tests.console.approvals import asked, call, fresh, limit, path, policy, question, read, says, text
from tests.console.conftest import member
from tests.support.doubt import waiting
from tests.support.people import ANNA, OTTO, person

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>"


@pytest.fixture
def inbox(approver: User, configured: App, client: Client) -> Client:
    """The browser of anna, who is an approver in acme and nothing else."""
    client.force_login(approver)
    return client


def rows(page: str) -> int:
    return page.count("<li data-row>")


def tabs(page: str) -> dict[str, str]:
    found = re.findall(r'<a href="([^"]+)"[^>]*>(\w+)(?:<span class="tab-number">([^<]*)</span>)?</a>', page)
    return {label: number for _, label, number in found if label in ("Mine", "Team", "All", "Decided", "Grants")}


# --- The list -----------------------------------------------------------------------------------------------------
def test_an_empty_inbox_says_so(inbox: Client) -> None:
    assert "Nothing waits for you." in read(inbox, "/approvals/")
    assert "Nothing waits for a person." in read(inbox, "/approvals/?tab=all")
    assert "Nothing has been decided yet." in read(inbox, "/approvals/?tab=decided")
    assert "No approval matches." in read(inbox, "/approvals/?tool=nothing")
    assert "Nothing runs without asking." in read(inbox, "/approvals/grants/")


def test_who_has_nothing_to_decide_is_led_to_what_others_have_to(configured: App, app: App, client: Client) -> None:
    asked(configured)
    client.force_login(member("vera", "viewer", app))
    page = read(client, "/approvals/")
    assert "What others have to decide is under All." in page and 'class="button" href="/approvals/?tab=all"' in page


def test_each_kind_says_what_is_asked_about_and_by_when(configured: App, inbox: Client) -> None:
    asked(configured, call(risk="high", policy=policy("four_eyes", required=2, expires_in="2h")), value="Pay Ada")
    asked(configured, question())
    asked(configured, limit())
    waiting(configured, agent="echo")
    page = text(read(inbox, "/approvals/"))
    for words in (
        'Call charge High risk {"amount": 5}', "echo: Pay Ada", "four_eyes", "0 of 2 agree", "59 min left",
        "no deadline", "Whom shall I pay?", "charge: did it run?", "Limit reached: 50 requests",
    ):  # fmt: skip
        assert words in page, words


def test_the_number_of_a_tab_is_that_of_its_list(configured: App, inbox: Client) -> None:
    asked(configured, call(policy=policy(required=2)))
    asked(configured, call(policy=policy(approvers={"role": "admin"})))
    mine = asked(configured)
    lifecycle.decide(configured, asked(configured), "reject", by=OTTO)
    lifecycle.decide(configured, Approval.objects.earliest("id"), "approve", by=ANNA)
    page = read(inbox, "/approvals/")
    assert tabs(page) == {"Mine": "1", "Team": "2", "All": "3", "Decided": "", "Grants": "0"}
    assert f'href="/approvals/{mine.pk}/"' in page
    for tab, number in (("mine", 1), ("team", 2), ("all", 3), ("decided", 1)):
        assert rows(read(inbox, f"/approvals/?tab={tab}")) == number, tab
    assert "you too" in read(inbox, "/approvals/?tab=team")


def test_the_badge_counts_what_waits_for_the_person(configured: App, inbox: Client, operator: User) -> None:
    asked(configured)
    asked(configured, call(policy=policy(approvers={"role": "admin"})))
    assert 'aria-label="Approvals, 1 for you"' in read(inbox, "/approvals/")
    console = Client()
    console.force_login(operator)
    assert 'aria-label="2 approvals for you"' in read(console, "/admin/agents/?app=acme")


def test_the_overview_leads_to_what_waits_for_people(configured: App, operator: User) -> None:
    console = Client()
    console.force_login(operator)
    assert "Waiting for people" not in read(console, "/admin/?app=acme")
    asked(configured)
    lifecycle.decide(
        configured, asked(configured, call(policy=policy(required=2))), "approve", by=person("olga", "admin")
    )
    page = read(console, "/admin/")
    assert "Waiting for people: 2 approvals , 1 for you ." in text(page) and 'href="/approvals/?tab=all"' in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("kind=question", {"Whom"}),
        ("agent=report", {"the report"}),
        ("tool=charge", {"Whom", "the report", "the first"}),
        ("kind=nonsense&status=rejected&actor=otto&after=nonsense&tab=nonsense", {"Whom", "the report", "the first"}),
        ("tab=decided", {"Mallory", "Grace"}),
        ("tab=decided&status=rejected", {"Mallory"}),
        ("tab=decided&actor=anna", {"Grace"}),
        ("tab=decided&actor=nobody", set()),
        ("tab=decided&asked=1h&status=approved", {"Grace"}),
    ],
)
def test_the_address_says_which(query: str, found: set[str], configured: App, inbox: Client) -> None:
    asked(configured, value="the first")
    asked(configured, question())
    asked(configured, agent="report", value={"text": "the report", "style": "long"})
    for name, by, verb in (("Mallory", OTTO, "reject"), ("Grace", ANNA, "approve")):
        lifecycle.decide(configured, asked(configured, value=name), verb, by=by, comment=f"because of {name}")
    listed = read(inbox, f"/approvals/?{query}").partition('class="asks"')[2]
    assert {name for name in ("Whom", "the report", "the first", "Mallory", "Grace") if name in listed} == found
    assert rows(listed) == len(found)


def test_what_was_decided_says_by_whom_how_and_why(configured: App, inbox: Client) -> None:
    lifecycle.decide(configured, asked(configured), "reject", by=OTTO, comment="Nobody knows Mallory")
    cancelled = asked(configured)
    tasks.cancel(configured, cancelled.task, by="olga")
    page = text(read(inbox, "/approvals/?tab=decided"))
    assert "Rejected by otto" in page and "Nobody knows Mallory" in page and "Cancelled" in page
    assert "checkbox" not in read(inbox, "/approvals/?tab=decided").partition('class="asks"')[2].partition("</form>")[0]


def test_the_consoles_address_of_approvals_leads_to_their_history(console: Client) -> None:
    assert console.get("/admin/approvals/")["Location"] == "/approvals/?tab=decided"


def test_a_long_list_goes_on_page_by_page(configured: App, inbox: Client) -> None:
    first = asked(configured)
    copies = [
        Approval(task=first.task, kind="tool_call", call=f"tool:{number}", tool="charge", digest="x", role="approver")
        for number in range(60)
    ]
    Approval.objects.bulk_create(copies)
    page = read(inbox, "/approvals/?tool=charge")
    more = re.search(r'rel="next" href="([^"]+)"', page)
    assert more and rows(page) == 50
    second = read(inbox, "/approvals/" + html.unescape(more[1]))
    assert rows(second) == 11 and 'rel="next"' not in second and "First" in second
    assert f"/approvals/{first.pk}/" in page and f"/approvals/{first.pk}/" not in second


@pytest.mark.parametrize("tab", ["mine", "decided"])
def test_a_page_asks_no_more_questions_the_more_there_is(tab: str, configured: App, inbox: Client) -> None:
    counts = []
    for number in (2, 15):
        for _ in range(number):
            approval = asked(configured)
            if tab == "decided":
                lifecycle.decide(configured, approval, "approve", by=OTTO)
        with CaptureQueriesContext(connection) as queries:
            read(inbox, f"/approvals/?tab={tab}")
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_what_models_and_people_wrote_is_text_and_what_one_cannot_see_is_spelled_out(
    configured: App, inbox: Client
) -> None:
    given = {HOSTILE: HOSTILE, "to": "evil\u202etxt.exe\u200b"}
    one = asked(
        configured, call(arguments=given, schema=None, prompt=HOSTILE + "\u202e", policy=policy()), value=HOSTILE
    )
    lifecycle.decide(configured, asked(configured), "reject", by=OTTO, comment=HOSTILE)
    for address in (
        "/approvals/",
        "/approvals/?tab=decided",
        path(one),
        f"/approvals/batch/?decision=approve&id={one.pk}",
    ):
        page = read(inbox, address)
        assert "alert(" in page and "<script>alert" not in page and "<img src=x" not in page, address
        assert "\u202e" not in page and "\u200b" not in page, address
    assert "evil\\u202etxt.exe\\u200b" in read(inbox, path(one))


def test_the_list_renews_itself(configured: App, inbox: Client) -> None:
    version = re.search(r'data-live="(\w+)" data-ends="no"', read(inbox, "/approvals/"))
    assert version
    same = inbox.get("/approvals/", headers={"X-Live": version[1]})
    assert (same.status_code, same["X-Waiting"]) == (304, "0")
    asked(configured)
    changed = inbox.get("/approvals/", headers={"X-Live": version[1]})
    assert changed.status_code == 200 and b"Call charge" in changed.content and b"<html" not in changed.content
    assert changed["X-Waiting"] == "1", "of the badge"


# --- Several at once ------------------------------------------------------------------------------------------------
def batch(browser: Client, decision: str, *approvals: Approval, **fields: Any) -> Any:
    return browser.post(
        "/approvals/batch/", {"app": "acme", "decision": decision, "id": [str(one.pk) for one in approvals], **fields}
    )


def test_a_batch_says_what_it_would_decide_and_does_nothing_yet(configured: App, inbox: Client) -> None:
    one, other = asked(configured), asked(configured, question())
    page = text(read(inbox, f"/approvals/batch/?decision=approve&id={one.pk}&id={other.pk}&id=nonsense"))
    assert "Approve 1 request" in page and "exactly these arguments" in page and "amount 5" in page
    assert "1 cannot be approved here" in page and "It has to be looked at by itself: answer, decline." in page
    assert not Decision.objects.exists()


def test_a_batch_tells_what_was_decided_and_what_was_skipped_and_why(configured: App, inbox: Client) -> None:
    good, late, foreign = asked(configured), asked(configured), asked(configured, call(policy=policy(required=2)))
    admins = asked(configured, call(policy=policy(approvers={"role": "admin"})))
    lifecycle.decide(configured, late, "reject", by=OTTO)
    lifecycle.decide(configured, foreign, "approve", by=ANNA)
    answer = batch(inbox, "approve", good, late, foreign, admins, comment="all checked")
    page = says(answer)
    assert answer.status_code == 200 and "1 approved, 3 skipped" in page
    assert "It was closed already: reject by otto" in page
    assert "You have decided so already" in page and "You are not among those who may decide" in page
    assert "2 cannot be approved here" in text(
        read(inbox, "/approvals/batch/?decision=approve&" + "&".join(f"id={one.pk}" for one in (late, foreign, admins)))
    ), "what is refused for its own sake is said before"
    assert (fresh(good).status, fresh(good).task.status) == ("approved", TaskStatus.PENDING)
    assert Decision.objects.get(approval=good).comment == "all checked"
    assert [fresh(one).status for one in (late, foreign, admins)] == ["rejected", "open", "open"]


def test_several_are_rejected_with_one_comment(configured: App, inbox: Client) -> None:
    both = [asked(configured), asked(configured, question())]
    assert "2 rejected, 0 skipped" in says(batch(inbox, "reject", *both, comment="not today"))
    assert list(Decision.objects.values_list("decision", "comment")) == [("reject", "not today")] * 2


def test_a_batch_says_where_others_have_to_agree_too(configured: App, inbox: Client) -> None:
    page = says(batch(inbox, "approve", asked(configured, call(policy=policy(required=2)))))
    assert "1 approved, 0 skipped" in page and "your decision is kept; 1 more person has to decide the same" in page


def test_a_batch_of_nothing_leads_back_to_the_list(configured: App, inbox: Client) -> None:
    one = asked(configured)
    assert inbox.get("/approvals/batch/?tab=team&decision=approve")["Location"] == "/approvals/?tab=team"
    assert batch(inbox, "run_again", one)["Location"] == "/approvals/"
    assert fresh(one).status == "open"


@pytest.mark.django_db(transaction=True)
def test_a_batch_reaches_nothing_of_another_app(configured: App, inbox: Client, operator: User, other_app: App) -> None:
    one = asked(configured)
    browser = Client()
    browser.force_login(operator)
    assert batch(browser, "approve", one, app="globex").status_code == 302
    assert fresh(one).status == "open"


# --- Grants -----------------------------------------------------------------------------------------------------------
def granted(app: App, **terms: Any) -> Grant:
    lifecycle.decide(app, asked(app), "approve", by=OTTO, grant=Terms(**terms))
    return Grant.objects.latest("given_at")


def test_grants_in_force_are_listed_with_who_gave_them(configured: App, inbox: Client) -> None:
    for terms in ({}, {"until": timezone.now() + timedelta(hours=3, minutes=1)}):
        granted(configured, **terms)
    page = text(read(inbox, "/approvals/grants/"))
    assert "charge by echo In one task: Pay Ada" in page and "In every task; ends in 3 h" in page and "otto" in page
    assert tabs(read(inbox, "/approvals/"))["Grants"] == "2"


def test_a_grant_is_revoked_with_a_reason_after_it_was_said_what_that_does(configured: App, inbox: Client) -> None:
    grant = granted(configured, until=timezone.now() + timedelta(hours=3))
    address = f"/approvals/grants/{grant.pk}/revoke/"
    assert f'href="{address}"' in read(inbox, "/approvals/grants/")
    assert "A call that has begun already goes on." in read(inbox, address)
    grant.refresh_from_db()
    assert grant.revoked_at is None
    answer = inbox.post(address, {"app": "acme", "reason": "too wide"}, follow=True)
    assert "The grant is revoked: charge asks again." in says(answer) and "Nothing runs without asking." in says(answer)
    grant.refresh_from_db()
    assert (grant.revoked_by, grant.reason) == ("anna", "too wide")
    assert Event.objects.filter(type="grant_revoked", actor="anna").exists()
    again = inbox.post(address, {"app": "acme"})
    assert again.status_code == 409 and "not in force any more" in says(again)
    assert "not in force any more" in read(inbox, address)


def test_a_grant_that_is_not_there_is_not_found(inbox: Client) -> None:
    assert inbox.get("/approvals/grants/01900000-0000-7000-8000-000000000000/revoke/").status_code == 404
