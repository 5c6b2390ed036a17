"""Who may log in to the console."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

from apps.accounts.models import User
from apps.tenancy.people import has_role


class LoginForm(AuthenticationForm):  # type: ignore[misc]  # Unfold has no types
    """Lets in whoever finds something here: platform operators, and people with a role in an App."""

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """In place of Django's check for staff. (Inactive people are turned away before.)"""
        if not (isinstance(user, User) and user.is_active and has_role(user)):
            raise ValidationError("This account has no role in any App: ask a platform operator.", code="no_role")
