"""Who may log in to the console."""

from __future__ import annotations

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm


class LoginForm(AuthenticationForm):  # type: ignore[misc]  # Unfold has no types
    """Lets platform superusers in; roles of an App come with their own pages."""

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        super().confirm_login_allowed(user)
        if not getattr(user, "is_superuser", False):
            raise ValidationError("The console is for platform operators; this account is not one.", code="no_operator")
