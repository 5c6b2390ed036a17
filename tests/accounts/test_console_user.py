"""The first person who can log in."""

from __future__ import annotations

import pytest

from apps.accounts.console_user import ensure_console_user
from apps.accounts.models import User

pytestmark = pytest.mark.django_db


def test_the_first_start_tells_a_password_that_works() -> None:
    name, password = ensure_console_user()
    user = User.objects.get(username=name)
    assert password
    assert user.check_password(password)
    assert user.is_superuser
    assert user.is_staff


def test_later_starts_tell_none() -> None:
    ensure_console_user()
    assert ensure_console_user() == ("admin", None)


def test_where_an_operator_exists_nobody_is_made() -> None:
    User.objects.create_superuser("root", password="secret")
    assert ensure_console_user() == ("root", None)
    assert User.objects.count() == 1
