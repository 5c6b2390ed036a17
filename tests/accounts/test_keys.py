"""Rotation of the keys that sign tokens."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.accounts import signing
from apps.accounts.models import AuditRecord, SigningKey
from apps.tenancy import tokens
from apps.tenancy.models import Credential

pytestmark = pytest.mark.django_db


def kid_of(token: str) -> str:
    import jwt

    return str(jwt.get_unverified_header(token)["kid"])


def hours_pass(number: int) -> None:
    for row in SigningKey.objects.all():
        SigningKey.objects.filter(pk=row.pk).update(created_at=row.created_at - timedelta(hours=number))


def test_after_a_rotation_the_new_key_signs_and_the_old_one_still_verifies() -> None:
    old = tokens.issue_app_token("acme")
    made, removed = tokens.rotate_keys(by="olga", reason="yearly")
    assert removed == []
    assert kid_of(tokens.issue_app_token("acme")) == made != kid_of(old)
    assert signing.verify(old).tenant_id == "acme"
    assert {key["kid"] for key in signing.jwks()["keys"]} >= {made, kid_of(old)}
    record = AuditRecord.objects.get(action="key_rotated")
    assert (record.actor, record.target, record.reason) == ("olga", made, "yearly")


def test_an_old_key_stays_as_long_as_a_token_of_it_is_good() -> None:
    kid = kid_of(tokens.issue_app_token("acme"))
    tokens.rotate_keys(by="olga")
    hours_pass(48)
    assert kid not in tokens.rotate_keys(by="olga")[1]
    Credential.objects.update(expires_at=timezone.now() - timedelta(hours=2))
    hours_pass(2)
    assert kid in tokens.rotate_keys(by="olga")[1]
    assert not SigningKey.objects.filter(kid=kid).exists()


def test_a_key_that_was_replaced_just_now_stays_for_replicas_may_still_sign_with_it() -> None:
    kid = kid_of(tokens.issue_app_token("acme"))
    Credential.objects.all().delete()
    tokens.rotate_keys(by="olga")
    assert tokens.rotate_keys(by="olga")[1] == []
    assert SigningKey.objects.filter(kid=kid).exists()


def test_a_stolen_key_is_removed_at_once_with_all_that_it_has_signed(capsys: pytest.CaptureFixture[str]) -> None:
    old = tokens.issue_app_token("acme")
    call_command("keys", "rotate", "--at-once", "--reason", "stolen")
    assert f"{kid_of(old)} is removed" in capsys.readouterr().out
    signing._signed.cache_clear()  # or a minute later
    with pytest.raises(signing.InvalidToken):
        signing.verify(old)
    assert AuditRecord.objects.get(action="key_rotated").actor == "command line"
    call_command("keys", "list")
    assert capsys.readouterr().out.count("made") == 1
