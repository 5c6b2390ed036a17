"""Who may log in to the console."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from unfold.forms import AuthenticationForm

from apps.accounts import login
from apps.accounts.models import User
from apps.tenancy.people import has_role


class LoginForm(AuthenticationForm):  # type: ignore[misc]  # Unfold has no types
    """Lets in whoever finds something here: platform operators, and people with a role in an App."""

    code = forms.CharField(max_length=10, required=False)

    def clean(self) -> dict[str, Any]:
        username, password = self.cleaned_data.get("username"), self.cleaned_data.get("password")
        if username and password:
            try:
                self.user_cache = login.check(self.request, username, password, self.cleaned_data.get("code", ""))
            except (login.TooManyTries, login.CodeNeeded) as error:
                raise ValidationError(str(error), code=error.code) from None
            except login.WrongCredentials:
                raise self.get_invalid_login_error() from None
            self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data  # type: ignore[no-any-return]

    def confirm_login_allowed(self, user: AbstractBaseUser) -> None:
        """In place of Django's check for staff. (Inactive people are turned away before.)"""
        if not (isinstance(user, User) and user.is_active and has_role(user)):
            raise ValidationError("This account has no role in any App: ask a platform operator.", code="no_role")
