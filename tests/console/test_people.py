"""Inviting people, changing what they are, and the trail that it leaves."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from apps.accounts import login, second_factor
from apps.accounts.models import AuditRecord, LoginTry, User
from apps.queue import holds
from apps.tenancy import tokens
from apps.tenancy.models import App, Membership
from tests.accounts.test_login import code_of
from tests.console.conftest import member
from tests.support import agents

Read = Callable[[str], str]
NEW = "Xy7-long-enough"
INVITATION = {"username": "mia", "of": "acme", "role": "viewer", "reason": "She joins us"}


def invited(console: Client) -> str:
    """The address of the link."""
    answer = console.post("/admin/platform/people/invite/", INVITATION)
    (link,) = re.findall(r'id="invitation" class="id">http://testserver([^<]+)<', answer.content.decode())
    return html.unescape(link)


def choose(client: Client, link: str, password: str = NEW) -> Any:
    form = client.get(link)
    if form.status_code != 302:
        return form
    return client.post(form["Location"], {"new_password1": password, "new_password2": password})


def test_somebody_invited_chooses_a_password_once_and_sees_that_app_only(console: Client, read: Read) -> None:
    assert 'href="/admin/platform/people/invite/"' in read("/admin/accounts/user/")
    link, browser = invited(console), Client()
    assert "too common" in choose(browser, link, "password1").content.decode()
    assert choose(browser, link)["Location"] == "/admin/login/"
    assert "This link is used up" in choose(Client(), link).content.decode()
    browser.post("/admin/login/", {"username": "mia", "password": NEW})
    page = browser.get("/admin/").content.decode()
    assert re.findall(r'<option value="([a-z]+)"', page) == ["acme"]
    assert "/admin/platform/" not in page
    record = AuditRecord.objects.get(action="person_invited")
    assert (record.actor, record.app_name, record.target, record.reason) == ("olga", "acme", "mia", "She joins us")


def test_a_link_is_for_one_person_and_not_for_ever(console: Client, settings: Any) -> None:
    link = invited(console)
    User.objects.create_user("ned")
    user_id, token = link.strip("/").split("/")[2:]
    of_another = link.replace(user_id, "MQ" if user_id != "MQ" else "Mg")
    forged = link.replace(token, token[:-1] + ("1" if token.endswith("0") else "0"))
    for wrong in (of_another, forged):
        assert "used up" in choose(Client(), wrong).content.decode()
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert "used up" in choose(Client(), link).content.decode()


def test_a_faulty_invitation_invites_nobody(console: Client) -> None:
    for fault in ({"username": "olga"}, {"of": "no-such"}, {"role": "emperor"}):
        assert console.post("/admin/platform/people/invite/", INVITATION | fault).status_code == 400
    assert User.objects.count() == 1 and not AuditRecord.objects.exists()


def test_a_new_link_ends_the_old_password_and_its_logins(console: Client, configured: App) -> None:
    user = member("mia", "viewer", configured)
    pair, browser = tokens.log_in(user, None), Client()
    browser.force_login(user)
    path = f"/admin/platform/people/{user.pk}/link/"
    assert "good for nothing from then on" in console.get(path).content.decode()
    assert 'id="invitation"' in console.post(path, {"reason": "lost"}).content.decode()
    tokens.forget()
    with pytest.raises(tokens.InvalidToken):
        tokens.caller(pair.access)
    assert browser.get("/admin/")["Location"].startswith("/admin/login/")
    assert AuditRecord.objects.get(action="password_forgotten").reason == "lost"


def test_a_change_of_role_is_written_down_and_tells_at_once(console: Client, configured: App, read: Read) -> None:
    user = member("mia", "viewer", configured)
    row, access = Membership.objects.get(), tokens.log_in(user, None).access
    forms = {"memberships-TOTAL_FORMS": "1", "memberships-INITIAL_FORMS": "1", "memberships-0-id": str(row.pk)}
    forms |= {"memberships-0-user": str(user.pk), "memberships-0-app": str(configured.pk)}
    fields = {"username": "mia", "is_active": "on", "memberships-0-role": "operator", "reason": "On call now"}
    console.post(f"/admin/accounts/user/{user.pk}/change/", fields | forms)
    assert tokens.caller(access).role == "operator"
    page = read("/admin/audit/?of=people")
    assert "Person changed" in page and "On call now" in page and "operator of acme" in html.unescape(page)
    fields.pop("is_active")
    console.post(f"/admin/accounts/user/{user.pk}/change/", fields | forms)
    with pytest.raises(tokens.InvalidToken):
        tokens.caller(access)


# --- Logging in ---------------------------------------------------------------------------------------------------
def test_guessing_at_the_login_is_bounded(client: Client, approver: User) -> None:
    for _ in range(login.PER_PLACE):
        client.post("/admin/login/", {"username": "anna", "password": "wrong"})
    answer = client.post("/admin/login/", {"username": "anna", "password": "a good password"})
    assert "too many wrong passwords" in answer.content.decode() and "_auth_user_id" not in client.session
    token = client.post("/auth/token", {"username": "anna", "password": "x"}, content_type="application/json")
    assert token.status_code == 429 and 0 < int(token["Retry-After"]) <= 900
    LoginTry.objects.all().delete()
    client.post("/admin/login/", {"username": "anna", "password": "a good password"})
    assert "_auth_user_id" in client.session


def test_anybody_changes_their_own_password(client: Client, configured: App) -> None:
    user = member("mia", "viewer", configured)
    client.force_login(user)
    assert "/admin/password_change/" in client.get("/admin/").content.decode()
    fields = {"old_password": "a good password", "new_password1": NEW, "new_password2": NEW}
    assert client.post("/admin/password_change/", fields).status_code == 302
    user.refresh_from_db()
    assert user.check_password(NEW)


def test_a_second_factor_is_added_asked_for_and_taken_away(client: Client, configured: App) -> None:
    user = member("mia", "viewer", configured)
    client.force_login(user)
    assert "data:image/svg+xml" in client.get("/admin/second-factor/").content.decode()
    device = second_factor.begin(user)
    assert client.post("/admin/second-factor/", {"code": "000"}).status_code == 400
    assert client.post("/admin/second-factor/", {"code": code_of(device, -1)}).status_code == 302
    assert device.key not in client.get("/admin/second-factor/").content.decode()
    browser, fields = Client(), {"username": "mia", "password": "a good password"}
    assert "has a second factor" in browser.post("/admin/login/", fields).content.decode()
    answer = browser.post("/auth/token", fields, content_type="application/json")
    assert answer.status_code == 401 and "second factor" in answer.json()["detail"]
    browser.post("/admin/login/", fields | {"code": code_of(device)})
    assert "_auth_user_id" in browser.session
    assert client.post("/admin/second-factor/", {"code": code_of(device, 1)}).status_code == 302
    assert not second_factor.is_on(user)


# --- The audit trail ----------------------------------------------------------------------------------------------
def test_the_trail_tells_who_did_what_to_what_and_why(console: Client, configured: App, read: Read) -> None:
    task = agents.submit(configured, "echo")
    console.post(f"/admin/tasks/{task.pk}/cancel/", {"reason": "A mistake", "app": "acme"})
    holds.hold(configured, "echo", by="otto", reason="Too many")
    page = read("/admin/audit/")
    for text in ("olga", "A mistake", f"/admin/tasks/{task.pk}/", "otto", "Too many"):
        assert text in page, text


def test_an_apps_admin_sees_the_apps_own_trail_only(configured: App, client: Client) -> None:
    for app in ("acme", "globex"):
        tokens.issue_app_token(app, by=f"operator-of-{app}")
    client.force_login(member("ada", "admin", configured))
    page = client.get("/admin/audit/?of=people").content.decode()
    assert "operator-of-acme" in page and "globex" not in page
    assert client.get("/admin/audit/?of=secrets").status_code == 404
    assert client.get("/admin/audit/?before=x").status_code == 404
