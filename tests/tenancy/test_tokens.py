"""What a token is worth: as much as its credential is now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.accounts import signing
from apps.accounts.models import AuditRecord, User
from apps.accounts.permissions import Role
from apps.tenancy import lifecycle, tokens
from apps.tenancy.models import App, Credential, Membership

pytestmark = pytest.mark.django_db
Cast = Callable[..., User]


@pytest.fixture
def cast() -> Cast:
    def member(name: str = "mia", role: str = "operator", *apps: str, **more: Any) -> User:
        user = User.objects.create_user(name, password="a good password")
        for app in apps or ("acme",):
            Membership.objects.create(user=user, app=App.objects.get(name=app), role=role, **more)
        return user

    return member


def worthless(token: str) -> bool:
    tokens.forget()  # as another process would look
    try:
        tokens.caller(token)
    except signing.InvalidToken:
        return True
    return False


def test_an_apps_token_is_listed_without_itself_and_is_worth_nothing_once_revoked() -> None:
    token = tokens.issue_app_token("acme", role="operator", by="olga", note="CI")
    credential = Credential.objects.get()
    assert (credential.app.name, credential.role, credential.note, credential.created_by) == (
        "acme",
        "operator",
        "CI",
        "olga",
    )
    assert token not in str(vars(credential))
    caller = tokens.caller(token)
    assert (caller.actor, caller.role, caller.app_name) == (f"app:acme/{credential.key[:8]}", Role.OPERATOR, "acme")
    tokens.revoke_app_token("acme", credential.key, by="olga", reason="leaked")
    with pytest.raises(signing.InvalidToken):
        tokens.caller(token)
    assert [(r.action, r.actor, r.app_name, r.reason) for r in AuditRecord.objects.order_by("id")] == [
        ("token_issued", "olga", "acme", ""),
        ("token_revoked", "olga", "acme", "leaked"),
    ]


def test_a_token_is_revoked_by_its_own_app_only_and_once() -> None:
    token = tokens.issue_app_token("acme")
    key = Credential.objects.get().key
    with pytest.raises(tokens.NoSuchToken):
        tokens.revoke_app_token("globex", key, by="olga")
    assert not worthless(token)
    tokens.revoke_app_token("acme", key, by="olga")
    with pytest.raises(tokens.NoSuchToken):
        tokens.revoke_app_token("acme", key, by="olga")


def test_another_process_believes_what_it_has_read_for_a_second_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(tokens, "time", SimpleNamespace(monotonic=lambda: now[0]))
    token = tokens.issue_app_token("acme")
    tokens.caller(token)
    Credential.objects.update(revoked_at="2026-01-01T00:00:00Z")  # another process did
    now[0] += 0.99
    assert tokens.caller(token)
    now[0] += 0.02
    with pytest.raises(signing.InvalidToken):
        tokens.caller(token)


def test_a_token_in_steady_use_is_not_looked_up_for_each_request() -> None:
    token = tokens.issue_app_token("acme")
    tokens.caller(token)
    with CaptureQueriesContext(connection) as queries:
        for _ in range(50):
            tokens.caller(token)
    assert len(queries) <= 1, "one for each second that this took"


@pytest.mark.django_db(transaction=True)
def test_a_new_app_of_the_same_name_does_not_revive_the_tokens_of_the_old_one(cast: Cast) -> None:
    app = lifecycle.create("phoenix", by="tests")
    user = cast("mia", "viewer", "phoenix")
    token, person = tokens.issue_app_token("phoenix"), tokens.log_in(user, "phoenix").access
    lifecycle.delete(app, by="tests")
    lifecycle.create("phoenix", by="tests")
    assert worthless(token) and worthless(person)
    assert not Membership.objects.exists()


def test_only_a_viewer_may_be_kept_from_payloads() -> None:
    sees = {role: tokens.caller(tokens.issue_app_token("acme", role=role)).sees_payloads for role in Role}
    assert sees == {Role.VIEWER: False, Role.OPERATOR: True, Role.APPROVER: True, Role.ADMIN: True}
    assert tokens.caller(tokens.issue_app_token("acme", role="viewer", sees_payloads=True)).sees_payloads


# --- People -------------------------------------------------------------------------------------------------------
def test_a_person_gets_the_role_of_the_membership(cast: Cast) -> None:
    access = tokens.log_in(cast("mia", "approver"), None).access
    caller = tokens.caller(access)
    assert (caller.actor, caller.role, caller.app_name) == ("mia", Role.APPROVER, "acme")
    assert not caller.is_platform_operator
    claims = signing.verify(access)
    assert (claims.tenant_id, claims.role) == ("acme", "approver")
    assert timedelta(minutes=15) >= tokens.ACCESS_LIFETIME


def test_who_belongs_to_several_apps_says_which(cast: Cast) -> None:
    user = cast("mia", "operator", "acme", "globex")
    with pytest.raises(tokens.AppNotNamed, match="acme, globex"):
        tokens.log_in(user, None)
    assert tokens.caller(tokens.log_in(user, "globex").access).app_name == "globex"


@pytest.mark.parametrize("app", ["globex", "no-such", None])
def test_nobody_gets_a_token_of_an_app_that_is_not_theirs(app: str | None, cast: Cast) -> None:
    user = cast() if app else User.objects.create_user("ned")
    with pytest.raises(tokens.NotAMember):
        tokens.log_in(user, app)


def test_a_platform_operator_gets_one_for_all_apps_or_an_admins_for_one() -> None:
    olga = User.objects.create_superuser("olga", password="x")
    everywhere, acme = (tokens.caller(tokens.log_in(olga, app).access) for app in (None, "acme"))
    assert (everywhere.is_platform_operator, everywhere.app_name) == (True, None)
    assert (acme.is_platform_operator, acme.app_name, acme.role) == (False, "acme", Role.ADMIN)
    with pytest.raises(tokens.NotAMember):
        tokens.log_in(olga, "no-such")


def changed_role(user: User) -> None:
    Membership.objects.update(role="viewer")


def left(user: User) -> None:
    Membership.objects.all().delete()


def deactivated(user: User) -> None:
    User.objects.update(is_active=False)


def new_password(user: User) -> None:
    user.set_password("another good password")
    user.save()


def test_a_change_of_role_tells_on_tokens_that_are_out(cast: Cast) -> None:
    user = cast("mia", "admin")
    access = tokens.log_in(user, None).access
    changed_role(user)
    tokens.forget()
    assert tokens.caller(access).role == Role.VIEWER


@pytest.mark.parametrize("change", [left, deactivated, new_password])
def test_what_ends_a_login_ends_its_tokens_of_both_kinds(change: Callable[[User], None], cast: Cast) -> None:
    user = cast()
    pair = tokens.log_in(user, None)
    change(user)
    assert worthless(pair.access)
    with pytest.raises(signing.InvalidToken):
        tokens.refresh(pair.refresh)


def test_a_former_platform_operator_is_none_any_more() -> None:
    olga = User.objects.create_superuser("olga", password="x")
    access = tokens.log_in(olga, None).access
    User.objects.update(is_superuser=False)
    assert worthless(access)


# --- Refreshing ---------------------------------------------------------------------------------------------------
def test_a_refresh_token_gives_the_next_pair_once(cast: Cast) -> None:
    first = tokens.log_in(cast(), None)
    second = tokens.refresh(first.refresh)
    assert tokens.caller(second.access).actor == "mia"
    assert tokens.refresh(second.refresh).refresh not in (first.refresh, second.refresh)


def test_a_refresh_token_that_comes_back_ends_the_login(cast: Cast) -> None:
    first = tokens.log_in(cast(), None)
    second = tokens.refresh(first.refresh)
    with pytest.raises(signing.InvalidToken):
        tokens.refresh(first.refresh)
    assert worthless(first.access) and worthless(second.access)
    with pytest.raises(signing.InvalidToken):
        tokens.refresh(second.refresh)
    assert AuditRecord.objects.get().reason == "A refresh token was used twice."


def test_each_kind_of_token_is_good_for_its_own_purpose_only(cast: Cast) -> None:
    pair = tokens.log_in(cast(), None)
    assert worthless(pair.refresh)
    with pytest.raises(signing.InvalidToken):
        tokens.refresh(pair.access)


@pytest.mark.parametrize("kind", ["access", "refresh"])
def test_either_token_revokes_the_whole_login_and_no_other(kind: str, cast: Cast) -> None:
    user = cast()
    pair, other = tokens.log_in(user, None), tokens.log_in(user, None)
    tokens.revoke(getattr(pair, kind))
    assert worthless(pair.access) and not worthless(other.access)
    with pytest.raises(signing.InvalidToken):
        tokens.refresh(pair.refresh)
    assert AuditRecord.objects.get().actor == "mia"


def test_garbage_is_revoked_in_silence() -> None:
    tokens.revoke("garbage")
    assert not AuditRecord.objects.exists()


@pytest.mark.parametrize(
    "impossible",
    [
        {"app": None, "role": "admin"},
        {"role": "emperor"},
        {"role": ""},
        {"role": "admin", "refresh": "x"},
    ],
)
def test_the_database_refuses_a_grant_of_nothing(impossible: dict[str, Any]) -> None:
    row = {"app": App.objects.get(name="acme"), "key": "k", "kid": "k", "expires_at": timezone.now()} | impossible
    with pytest.raises(IntegrityError), transaction.atomic():
        Credential.objects.create(**row)
