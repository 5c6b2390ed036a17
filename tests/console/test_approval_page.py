"""One approval: what the page says, each way to decide, and who may."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from apps.accounts.models import User
from apps.approvals import lifecycle
from apps.approvals.grants import Terms
from apps.approvals.lifecycle import Call
from apps.approvals.models import Approval, Decision, Grant
from apps.tasks import lifecycle as tasks
from apps.tasks.models import TaskStatus
from apps.tenancy.models import App
from tests.console.approvals import (
    Kind,
    asked,
    call,
    decide,
    fresh,
    limit,
    open_ones,
    path,
    policy,
    question,
    read,
    says,
    text,
)
from tests.console.conftest import member
from tests.support.doubt import waiting
from tests.support.people import ANNA, OTTO


@pytest.fixture
def anna(approver: User, configured: App, client: Client) -> Client:
    """The browser of an approver in acme."""
    client.force_login(approver)
    return client


def browser_of(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    return browser


def fields(page: str, **changes: str) -> dict[str, str]:
    """What the form that changes arguments sends, with changes by the names of arguments."""
    form = page[page.index("Change the arguments") :]
    found = {}
    for name, label in re.findall(r'<label for="id_(value-\d+)">([^<]+?)\s*(?:<span|</label>)', form):
        field = re.search(rf'name="{name}"[^>]*?(?: value="([^"]*)"[^>]*>|>\s*([^<]*)</textarea>)', form)
        assert field, name
        found[name] = changes.get(label, html.unescape(field[1] or field[2] or ""))
    return found


# --- What it says -----------------------------------------------------------------------------------------------------
def test_the_page_says_what_is_asked_why_until_when_and_what_happened_before(configured: App, anna: Client) -> None:
    four = policy("four_eyes", required=2, exclude_requester=True, expires_in="2h")
    approval = asked(configured, call(arguments={"amount": 5, "note": "two\nlines"}, risk="high", policy=four))
    page = text(read(anna, path(approval)))
    for words in (
        "The agent wants to call the tool charge.", "High risk", "59 min left", "four_eyes : Four eyes: two different",
        "and not tests, who asked for the task", "amount 5", "note 2 lines of text two lines", "0 of 2 people agree",
        "echo", "Pay Ada", "Attempt 1 of 3", "Asked about charge", "Reject",
        "The tool runs once, with exactly these arguments.",
    ):  # fmt: skip
        assert words in page, words


def test_the_approval_leads_to_its_task_and_the_task_to_its_approval(configured: App, anna: Client) -> None:
    approval = asked(configured)
    task = f"/admin/tasks/{approval.task_id}/"
    assert f'href="{task}"' in read(anna, path(approval))
    assert f'href="{path(approval)}"' in read(anna, task)
    assert "Waiting for a person, asked" in text(read(anna, task))


def test_the_page_notices_that_somebody_else_has_decided(configured: App, anna: Client) -> None:
    approval = asked(configured)
    version = re.search(r'data-live="(\w+)" data-ends="no"', read(anna, path(approval)))
    assert version
    assert anna.get(path(approval), headers={"X-Live": version[1]}).status_code == 304
    lifecycle.decide(configured, approval, "approve", by=OTTO, comment="looks right")
    changed = anna.get(path(approval), headers={"X-Live": version[1]})
    assert changed["X-Live-Ends"] == "yes"
    assert b"data-closed" in changed.content and "Closed: “Approve” by otto" in says(changed)
    assert "looks right" in says(changed)
    assert 'name="decision"' not in read(anna, path(approval))
    assert "Change" not in read(anna, path(approval) + "?edit=1").partition("keys-title")[0], "it is too late for that"


# --- Deciding ---------------------------------------------------------------------------------------------------------
def test_approving_leads_back_to_the_list_and_the_task_goes_on(configured: App, anna: Client) -> None:
    first = asked(configured, call(key="tool:1:a"), call(key="tool:1:b"))
    answer = decide(anna, first, "approve", comment="fine", back="tab=team&kind=tool_call")
    assert answer["Location"] == "/approvals/?tab=team&kind=tool_call"
    assert "The task waits for 1 more decision." in text(read(anna, "/approvals/"))
    [second] = open_ones(first.task)
    decide(anna, second, "reject", comment="not this one")
    assert "The task goes on." in text(read(anna, "/approvals/"))
    assert fresh(first).task.status == TaskStatus.PENDING
    said = list(Decision.objects.order_by("id").values_list("actor", "decision", "comment"))
    assert said == [("anna", "approve", "fine"), ("anna", "reject", "not this one")]


def test_a_question_is_answered_in_a_form_of_its_schema(configured: App, anna: Client) -> None:
    approval = asked(configured, question())
    page = read(anna, path(approval))
    assert "Whom shall I pay?" in page and ">Grace</option>" in page
    refused = decide(anna, approval, "answer", **{"value-0": ""})
    assert refused.status_code == 400 and "This field is required." in says(refused)
    decide(anna, approval, "answer", **{"value-0": "Grace"})
    assert (Decision.objects.get().answer, fresh(approval).status) == ({"who": "Grace"}, "approved")


def test_a_question_without_a_schema_is_answered_in_words_or_declined(configured: App, anna: Client) -> None:
    first, second = asked(configured, question(schema=None)), asked(configured, question(schema=None))
    refused = decide(anna, first, "answer", value="  ", comment="stays")
    assert refused.status_code == 400 and "Give the answer" in says(refused) and "stays" in says(refused)
    decide(anna, first, "answer", value="Grace,\r\nplease")
    decide(anna, second, "reject", comment="ask somebody else")
    assert [one.answer for one in Decision.objects.order_by("id")] == ["Grace,\nplease", None]


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ({"value": "charged"}, "charged"),
        ({"value": '{"paid": 5}', "answer_is": "json"}, {"paid": 5}),
        ({"value": "5", "answer_is": "json"}, 5),
    ],
)
def test_what_a_call_in_doubt_has_returned_is_told(configured: App, anna: Client, given: Any, answer: Any) -> None:
    approval = waiting(configured, agent="echo").approvals.get()
    assert "Run it again" in read(anna, path(approval))
    decide(anna, approval, "ran", **given)
    assert Decision.objects.get().answer == answer


@pytest.mark.parametrize(
    ("decision", "given", "status", "says_so"),
    [
        ("ran", {"value": "  "}, 400, "Give the result of the call"),
        ("ran", {"value": "{oops", "answer_is": "json"}, 400, "This is not JSON"),
        ("approve", {}, 409, "cannot be decided by"),
        ("", {}, 409, "cannot be decided by"),
    ],
)
def test_what_cannot_be_decided_is_said_and_what_was_written_stays(
    configured: App, anna: Client, decision: str, given: dict[str, str], status: int, says_so: str
) -> None:
    approval = waiting(configured, agent="echo").approvals.get()
    answer = decide(anna, approval, decision, comment="my comment", **given)
    assert answer.status_code == status and says_so in says(answer) and "my comment" in says(answer)
    assert not Decision.objects.exists()


@pytest.mark.parametrize(("decision", "status"), [("run_again", TaskStatus.PENDING), ("fail", TaskStatus.FAILED)])
def test_a_call_in_doubt_is_run_again_or_fails(configured: App, anna: Client, decision: str, status: str) -> None:
    approval = waiting(configured, agent="echo").approvals.get()
    decide(anna, approval, decision, value="is not looked at")
    assert fresh(approval).task.status == status


@pytest.mark.parametrize(("decision", "status"), [("approve", TaskStatus.PENDING), ("reject", TaskStatus.FAILED)])
def test_a_limit_is_raised_or_ends_the_task(configured: App, anna: Client, decision: str, status: str) -> None:
    approval = asked(configured, limit())
    page = text(read(anna, path(approval)))
    assert "Raise the limit" in page and "Change…" not in page and "How far this reaches" not in page
    decide(anna, approval, decision)
    assert fresh(approval).task.status == status


def test_a_limit_says_what_raising_it_means(configured: App, anna: Client) -> None:
    page = text(read(anna, path(asked(configured, limit()))))
    assert "Limit reached: 50 requests" in page and "If you raise it 100 requests (50 requests more)" in page
    dear = {"limit": "cost_usd", "value": 2.5, "used": 2.61, "raise_by": 2.5}
    page = text(read(anna, path(asked(configured, Call(Kind.BUDGET, "limit:cost_usd", "", dear)))))
    for words in ("Limit reached: $2.50", "Used, with what comes next $2.61", "If you raise it $5.00 ($2.50 more)"):
        assert words in page


def test_the_task_says_what_was_asked_and_decided(configured: App, anna: Client) -> None:
    first, raised = asked(configured, call(), question(key="tool:1:b")), asked(configured, limit())
    for approval, decision in ((first, "approve"), (open_ones(first.task)[1], "reject"), (raised, "approve")):
        decide(anna, approval, decision)
    page = text(read(anna, f"/admin/tasks/{first.task_id}/"))
    for words in ("Asked about charge", "Asked a question", "Decided about charge", "Decided about a question"):
        assert words in page, words
    assert "Tool approved" in page and "Limit raised" in text(read(anna, f"/admin/tasks/{raised.task_id}/"))


# --- Changing the arguments ------------------------------------------------------------------------------------------
def review(browser: Client, approval: Approval, **changes: str) -> Any:
    """Opens the form, changes arguments in it and asks to see the changes."""
    page = read(browser, path(approval) + "?edit=1")
    return decide(browser, approval, "approve", edit="1", **fields(page, **changes))


def test_changed_arguments_are_shown_before_they_are_approved(configured: App, anna: Client) -> None:
    approval = asked(configured, call(arguments={"amount": 5, "note": "one\ntwo\n"}))
    shown = review(anna, approval, amount="7", note="one\r\n2\r\n")
    page = says(shown)
    assert shown.status_code == 200 and "- 5 + 7" in page and "- two + 2" in page
    assert fresh(approval).status == "open" and not Decision.objects.exists()
    changed = html.unescape(re.search(r'name="arguments" value="([^"]*)"', shown.content.decode())[1])  # type: ignore[index]
    assert json.loads(changed) == {"amount": 7, "note": "one\n2\n"}
    given = {"app": "acme", "decision": "approve", "arguments": changed, "comment": "a little more"}
    anna.post(path(approval) + "?edit=1", given)  # the address of the page on which the form stands
    made = Decision.objects.get()
    assert (made.arguments, made.comment) == ({"amount": 7, "note": "one\n2\n"}, "a little more")


def test_changes_that_were_shown_are_kept_where_something_else_was_wrong(configured: App, anna: Client) -> None:
    approval = asked(configured)
    for given in ({"grant": "until", "grant_until": ""}, {"grant": "until", "grant_until": "2001-01-01T10:00"}):
        answer = decide(anna, approval, "approve", arguments='{"amount": 7}', **given)
        assert answer.status_code == 400 and "- 5 + 7" in says(answer) and "Approve with these changes" in says(answer)
    assert fresh(approval).status == "open"


def test_all_arguments_can_be_taken_away(configured: App, anna: Client) -> None:
    approval = asked(configured, call(schema={"type": "object"}))
    answer = decide(anna, approval, "approve", edit="1", **{"value-0": ""})
    assert "- 5 + (nothing)" in says(answer) and 'name="arguments" value="{}"' in answer.content.decode()
    decide(anna, approval, "approve", arguments="{}")
    assert Decision.objects.get().arguments == {}


def test_changes_that_were_shown_can_be_changed_again(configured: App, anna: Client) -> None:
    approval = asked(configured)
    shown = review(anna, approval, amount="7").content.decode()
    form = shown[shown.rindex('<form method="post"') :]
    kept = dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form))
    answer = anna.post(path(approval), {**kept, "again": "1"})
    assert 'value="7"' in answer.content.decode() and "Look at the changes" in says(answer)
    assert not Decision.objects.exists()


def test_a_change_that_the_schema_refuses_is_said_beside_its_field(configured: App, anna: Client) -> None:
    approval = asked(configured)
    for given, words in (("101", "less than or equal to 100"), ("much", "Enter a whole number.")):
        answer = review(anna, approval, amount=given)
        assert answer.status_code == 400 and words in says(answer) and f'value="{given}"' in answer.content.decode()
    forged = decide(anna, approval, "approve", arguments='{"amount": 101}')
    assert forged.status_code == 400 and "greater than the maximum" in says(forged)
    for nonsense in ("{oops", '["amount"]', "7", '{"amount": NaN}', '{"amount": 5, "note": "\\u0000"}'):
        decide(anna, approval, "approve", arguments=nonsense)
    assert not Decision.objects.filter(arguments__isnull=False).exists()


def test_a_form_in_which_nothing_was_changed_approves_nothing(configured: App, anna: Client) -> None:
    approval = asked(configured, call(arguments={"amount": 5, "note": "a\nb"}))
    assert "Nothing was changed." in says(review(anna, approval))
    assert not Decision.objects.exists()


def test_arguments_without_a_schema_are_changed_as_json(configured: App, anna: Client) -> None:
    approval = asked(configured, call(arguments={"to": {"name": "Ada"}}, schema=None))
    shown = says(review(anna, approval, to='{"name": "Grace"}'))
    assert '- {"name": "Ada"} + {"name": "Grace"}' in shown


def test_a_property_of_any_name_is_one_of_the_arguments(configured: App, anna: Client) -> None:
    named = {"items": {"amount": 1}, "keys": [["amount", 2]], "amount": 9000}
    approval = asked(configured, call(arguments=named, schema=None))
    shown = text(read(anna, path(approval))).partition("Exact arguments")[2]
    assert all(each in shown for each in ('items {"amount": 1}', 'keys [["amount", 2]]', "amount 9000"))


def test_who_may_not_decide_cannot_change_the_arguments_either(configured: App, client: Client, app: App) -> None:
    viewer, approval = browser_of(member("vera", "viewer", app)), asked(configured)
    assert "Change the arguments" not in read(viewer, path(approval) + "?edit=1").partition("keys-title")[0]
    answer = decide(viewer, approval, "approve", edit="1", **{"value-0": "7"})
    assert answer.status_code == 403 and fresh(approval).status == "open"


# --- Several people, and who is late ----------------------------------------------------------------------------------
def test_two_people_have_to_decide_the_same(configured: App, anna: Client, app: App) -> None:
    otto = browser_of(member("otto", "approver", app))
    approval = asked(configured, call(policy=policy(required=2)))
    decide(anna, approval, "approve", comment="I agree")
    assert "Somebody else has to agree too." in text(read(anna, "/approvals/"))
    page = read(anna, path(approval))
    assert "You have decided, and can still decide otherwise." in text(page)
    again = decide(anna, approval, "approve")
    assert again.status_code == 409 and "You have decided so already" in says(again)
    assert "1 of 2 people agree so far" in text(read(otto, path(approval))) and "I agree" in read(otto, path(approval))
    decide(otto, approval, "approve")
    assert fresh(approval).task.status == TaskStatus.PENDING


def test_the_changes_that_one_has_approved_are_shown_to_the_other_who_can_approve_the_same(
    configured: App, anna: Client, app: App
) -> None:
    otto = browser_of(member("otto", "approver", app))
    approval = asked(configured, call(policy=policy(required=2)))
    decide(anna, approval, "approve")
    decide(anna, approval, "approve", arguments='{"amount": 7}')
    assert "Approve the same" not in read(anna, path(approval))
    page = read(otto, path(approval))
    assert "1 of 2 people agree so far" in text(page) and "amount - 5 + 7" in text(page)
    same = re.search(r'href="(\?same=\d+)"', page)
    assert same
    shown = read(otto, path(approval) + same[1])
    changed = re.search(r'name="arguments" value="([^"]*)"', shown)
    assert changed and "What is changed" in shown and fresh(approval).status == "open"
    decide(otto, approval, "approve", arguments=html.unescape(changed[1]))
    assert fresh(approval).status == "approved"
    assert "amount - 5 + 7" in text(read(anna, path(approval))), "what was decided stays to be read"


def test_who_comes_second_is_told_what_the_first_has_decided(configured: App, anna: Client) -> None:
    approval = asked(configured)
    lifecycle.decide(configured, approval, "reject", by=OTTO, comment="no")
    answer = decide(anna, approval, "approve")
    assert answer.status_code == 409 and "This was closed already: reject by otto" in says(answer)
    assert 'name="decision"' not in answer.content.decode()


def test_a_decision_that_comes_too_late_is_none(configured: App, anna: Client) -> None:
    approval = asked(configured, call(policy=policy(expires_in="1h")))
    past = timezone.now() - timedelta(seconds=1)
    Approval.objects.filter(pk=approval.pk).update(expires_at=past, due_at=past)
    assert "time is over" in text(read(anna, path(approval)))
    answer = decide(anna, approval, "approve")
    assert answer.status_code == 409 and "its time was over" in says(answer)
    assert not Decision.objects.exists()


def test_what_nobody_decided_says_what_came_of_it(configured: App, anna: Client) -> None:
    late, gone = asked(configured, call(policy=policy(expires_in="1h"))), asked(configured)
    Approval.objects.filter(pk=late.pk).update(
        status="expired", outcome="reject", closed_at=timezone.now(), due_at=None
    )
    tasks.cancel(configured, gone.task, by="olga")
    assert "Nobody decided in time. That counts as rejected." in read(anna, path(late))
    assert "The task ended before anybody decided." in read(anna, path(gone))
    answer = decide(anna, late, "approve")
    assert answer.status_code == 409 and "nobody decided until" in says(answer)


def test_whom_the_policy_excludes_sees_why_and_cannot_decide(configured: App, anna: Client) -> None:
    approval = asked(configured, call(policy=policy(exclude_requester=True)))
    Approval.objects.filter(pk=approval.pk).update(requester="anna")
    page = read(anna, path(approval))
    assert "You asked for the task." in page and re.search(r'value="approve"[^>]*disabled', page)
    assert "Nothing waits for you." in read(anna, "/approvals/")
    answer = decide(anna, approval, "approve")
    assert answer.status_code == 403 and "You asked for the task." in says(answer)
    assert not Decision.objects.exists()


# --- Grants -----------------------------------------------------------------------------------------------------------
def test_a_decision_can_reach_further_calls(configured: App, anna: Client) -> None:
    decide(anna, asked(configured), "approve", grant="task")
    decide(anna, asked(configured), "approve", grant="until", grant_until="2999-01-01T10:00")
    decide(
        anna, asked(configured), "approve", grant="until", grant_until="2999-01-01T10:00",
        grant_until_utc="2999-01-01T09:00:00.000Z",
    )  # fmt: skip
    terms = [(grant.task_id is not None, grant.until and grant.until.hour) for grant in Grant.objects.order_by("id")]
    assert terms == [(True, None), (False, 10), (False, 9)]


@pytest.mark.parametrize("until", ["", "nonsense", "2001-01-01T10:00", "2999-99-99T10:00"])
def test_until_when_has_to_be_an_instant_to_come(configured: App, anna: Client, until: str) -> None:
    approval = asked(configured)
    answer = decide(anna, approval, "approve", grant="until", grant_until=until)
    assert answer.status_code == 400 and "until" in says(answer)
    assert fresh(approval).status == "open" and not Grant.objects.exists()


# --- Who may ----------------------------------------------------------------------------------------------------------
PAGES = ("/approvals/", "/approvals/?tab=decided", "/approvals/grants/", "APPROVAL", "BATCH", "REVOKE")
ROLES = {  # of somebody in acme: whether they see the pages, and whether they decide
    "viewer": (True, False),
    "operator": (True, False),
    "approver": (True, True),
    "admin": (True, True),
    "platform operator": (True, True),
    "outsider": (False, False),  # an approver of another App
    "stranger": (False, False),  # of no App
}


def somebody(role: str, app: App, other: App) -> User:
    if role == "platform operator":
        return User.objects.create_superuser("root", password="a good password")
    if role == "stranger":
        return User.objects.create_user("root", password="a good password", is_staff=True)
    return member("root", "approver", other) if role == "outsider" else member("root", role, app)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_and_does_just_its_share(role: str, configured: App, other_app: App) -> None:
    sees, decides = ROLES[role]
    browser = browser_of(somebody(role, configured, other_app))
    first, second = asked(configured), asked(configured)
    lifecycle.decide(configured, asked(configured), "approve", by=ANNA, grant=Terms())
    grant = Grant.objects.get()
    revoke, batch = f"/approvals/grants/{grant.pk}/revoke/", f"/approvals/batch/?decision=approve&id={second.pk}"
    for page in PAGES:
        address = {"APPROVAL": path(first), "BATCH": batch, "REVOKE": revoke}.get(page, page)
        answer = browser.get(address + ("&" if "?" in address else "?") + "app=acme")
        assert answer.status_code == (200 if sees else 404), address
    decide(browser, first, "approve")
    browser.post("/approvals/batch/", {"app": "acme", "decision": "approve", "id": str(second.pk)})
    browser.post(revoke, {"app": "acme"})
    grant.refresh_from_db()
    assert [fresh(one).status for one in (first, second)] == (["approved"] * 2 if decides else ["open"] * 2)
    assert (grant.revoked_at is not None) == decides
    if sees and not decides:
        assert "Deciding needs the role approver or admin." in text(read(browser, path(first)))
        assert 'name="id"' not in read(browser, "/approvals/")


@pytest.mark.parametrize("address", ["/approvals/", "/approvals/batch/", "/approvals/grants/", "APPROVAL"])
def test_nobody_sees_anything_without_logging_in(address: str, configured: App, client: Client) -> None:
    address = path(asked(configured)) if address == "APPROVAL" else address
    answer = client.get(address)
    assert answer["Location"] == f"/admin/login/?next={address}"
    assert client.post(address, {"decision": "approve"}).status_code == 302


def test_somebody_whose_role_was_taken_away_sees_nothing_more(configured: App, anna: Client, approver: User) -> None:
    approval = asked(configured)
    read(anna, path(approval))
    approver.memberships.all().delete()
    assert anna.get(path(approval)).status_code == 403
    assert decide(anna, approval, "approve").status_code in (403, 404)
    assert fresh(approval).status == "open"


def test_deciding_needs_the_forms_mark(configured: App, approver: User) -> None:
    approval = asked(configured)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(approver)
    for address in (path(approval), "/approvals/batch/"):
        given = {"app": "acme", "decision": "approve", "id": str(approval.pk)}
        assert strict.post(address, given).status_code == 403
    assert fresh(approval).status == "open"


@pytest.mark.parametrize("query", ["?tab=decided&actor=%00", "?tool=%00", "batch/?decision=approve&id=%00"])
def test_what_no_database_can_hold_is_refused(query: str, configured: App, anna: Client) -> None:
    assert anna.get(f"/approvals/{query}").status_code == 400
    approval = asked(configured)
    assert decide(anna, approval, "reject", comment="a\0b").status_code == 400
    assert fresh(approval).status == "open"


def test_looking_at_an_approval_decides_nothing(configured: App, anna: Client) -> None:
    approval = asked(configured)
    for query in ("", "?decision=approve", "?edit=1&decision=approve"):
        read(anna, path(approval) + query)
    assert not Decision.objects.exists()


def test_an_approval_that_is_not_there_is_not_found(anna: Client) -> None:
    assert anna.get("/approvals/01900000-0000-7000-8000-000000000000/").status_code == 404
