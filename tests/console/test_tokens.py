"""The tokens of an App, on their page."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any

from django.test import Client

from apps.accounts.models import AuditRecord
from apps.accounts.permissions import Role
from apps.tenancy import tokens
from apps.tenancy.models import Credential

Read = Callable[[str], str]
PATH = "/admin/platform/apps/acme/tokens/"


def test_a_token_is_made_shown_once_and_revoked_for_a_reason(console: Client, read: Read) -> None:
    assert f'href="{PATH}"' in read("/admin/platform/apps/acme/")
    assert "This App has no tokens." in read(PATH)
    made: Any = console.post(PATH, {"note": "CI of the shop", "role": "operator", "days": "30"})
    (token,) = re.findall(r'id="new-token" class="id">([^<]+)<', made.content.decode())
    assert "no-store" in made["Cache-Control"]
    caller = tokens.caller(html.unescape(token))
    assert (caller.app_name, caller.role) == ("acme", Role.OPERATOR)
    page = read(PATH)
    assert "CI of the shop" in page and "by olga" in page and token not in page
    credential = Credential.objects.get()
    path = f"{PATH}{credential.key}/revoke/"
    assert "cannot be undone" in read(path)
    console.post(path, {"reason": "it leaked"})
    assert "revoked" in read(PATH) and f'href="{path}"' not in read(PATH)
    assert AuditRecord.objects.first().reason == "it leaked"  # type: ignore[union-attr]
    assert console.post(path).status_code == 409
    assert console.get(f"/admin/platform/apps/globex/tokens/{credential.key}/revoke/").status_code == 404


def test_a_token_without_a_purpose_or_a_role_is_not_made(console: Client) -> None:
    answer = console.post(PATH, {"note": "", "role": "emperor", "days": "30"})
    assert answer.status_code == 400 and "not one of the available choices" in answer.content.decode()
    assert not Credential.objects.exists()
