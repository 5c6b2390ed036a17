"""The first person who can log in to the console."""

from __future__ import annotations

import secrets

from apps.accounts.models import User

USERNAME = "admin"


def ensure_console_user() -> tuple[str, str | None]:
    """Makes the superuser `admin` if there is no superuser yet: its name and its password, which is told only now.

    Where there is one already: its name and None.
    """
    first = User.objects.filter(is_superuser=True).order_by("id").first()
    if first is not None:
        return first.username, None
    password = secrets.token_urlsafe(12)
    user, created = User.objects.get_or_create(
        username=USERNAME, defaults={"is_staff": True, "is_superuser": True, "password": _hashed(password)}
    )
    return user.username, password if created else None


def _hashed(password: str) -> str:
    user = User()
    user.set_password(password)
    return user.password
