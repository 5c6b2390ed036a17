"""Secrets are used by their App, and are nothing to anybody else."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from apps.accounts.crypto import CannotDecrypt
from apps.accounts.models import AuditRecord
from apps.tenancy import secrets, tokens
from apps.tenancy.errors import BadSecretName
from apps.tenancy.models import App, Secret


def test_a_secret_is_what_was_put(app: App) -> None:
    secrets.put(app, "KEY", "first")
    secrets.put(app, "KEY", "sécond")
    secrets.put(app, "EMPTY", "")
    assert secrets.values(app) == {"KEY": "sécond", "EMPTY": ""}
    assert secrets.names(app) == ["EMPTY", "KEY"]


def test_a_deleted_secret_is_gone(app: App) -> None:
    secrets.put(app, "KEY", "value")
    assert secrets.delete(app, "KEY")
    assert not secrets.delete(app, "KEY")
    assert secrets.values(app) == {}


def test_another_app_has_other_secrets(app: App, other_app: App) -> None:
    secrets.put(app, "KEY", "of acme")
    secrets.put(other_app, "KEY", "of globex")
    assert secrets.values(app) == {"KEY": "of acme"}


@pytest.mark.parametrize("name", ["", "1ST", "A B", "A-B", "A/B", "É", "A" * 101, "A\n"])
def test_a_secret_has_a_plain_name(app: App, name: str) -> None:
    with pytest.raises(BadSecretName):
        secrets.put(app, name, "value")


def test_a_secret_is_encrypted_at_rest(app: App) -> None:
    secrets.put(app, "KEY", "plain-text")
    assert "plain-text" not in Secret.objects.get().ciphertext


def test_a_row_copied_to_another_app_or_name_does_not_decrypt(app: App, other_app: App) -> None:
    secrets.put(app, "KEY", "value")
    ciphertext = Secret.objects.get().ciphertext
    Secret.objects.create(app=other_app, name="KEY", ciphertext=ciphertext)
    with pytest.raises(CannotDecrypt):
        secrets.values(other_app)
    Secret.objects.filter(app=other_app).update(app=app, name="OTHER")
    with pytest.raises(CannotDecrypt):
        secrets.values(app)


def test_after_a_rotation_the_old_key_is_not_needed_any_more(app: App, settings: Settings) -> None:
    secrets.put(app, "ONE", "1")
    secrets.put(app, "TWO", "2")
    old = settings.HECTOR_ENCRYPTION_KEYS
    settings.HECTOR_ENCRYPTION_KEYS = ["new key", *old]
    assert secrets.values(app) == {"ONE": "1", "TWO": "2"}
    call_command("secrets", "rotate", stdout=(said := StringIO()))
    assert said.getvalue().startswith("Encrypted anew: 2 secrets")
    settings.HECTOR_ENCRYPTION_KEYS = ["new key"]
    assert secrets.values(app) == {"ONE": "1", "TWO": "2"}
    assert tokens.caller(tokens.issue_app_token("acme")).app_name == "acme"
    settings.HECTOR_ENCRYPTION_KEYS = old
    with pytest.raises(CannotDecrypt) as failure:
        secrets.values(app)
    assert "HECTOR_ENCRYPTION_KEYS" in str(failure.value)
    with pytest.raises(CommandError, match="HECTOR_ENCRYPTION_KEYS"):
        call_command("secrets", "rotate")
    settings.HECTOR_ENCRYPTION_KEYS = [*old, "new key"]
    secrets.rotate()  # for the tests that follow: the process keeps the signing key as it was read last


def test_who_set_a_secret_is_written_down_without_it(app: App) -> None:
    secrets.put(app, "ONE", "the-value", by="olga")
    secrets.delete(app, "ONE", by="otto")
    rows = list(AuditRecord.objects.order_by("id").values())
    assert [(row["actor"], row["action"], row["target"]) for row in rows] == [
        ("olga", "secret_set", "ONE"),
        ("otto", "secret_deleted", "ONE"),
    ]
    assert "the-value" not in str(rows)
