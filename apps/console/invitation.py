"""Inviting a colleague: an account without a password, and a link with which they choose one, once.

The link is Django's for a forgotten password: it is signed, good for three days (`PASSWORD_RESET_TIMEOUT`), and for
nothing any more once a password was set with it or somebody has logged in. It is shown to who invites, who passes it
on; Hector sends no mail.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.tokens import default_token_generator
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse
from django.urls import reverse, reverse_lazy
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from apps.accounts.models import User
from apps.accounts.permissions import Role
from apps.tenancy.models import App


class InviteForm(forms.ModelForm):  # type: ignore[type-arg]  # Django's class takes none at run time
    of = forms.ModelChoiceField(App.objects.exclude(status=App.Status.DELETING), label="App", to_field_name="name")
    role = forms.ChoiceField(choices=[(role.value, role.value.capitalize()) for role in Role], initial="operator")
    sees_payloads = forms.BooleanField(label="As a viewer, sees what tasks were given and gave", required=False)
    reason = forms.CharField(max_length=1000, required=False, help_text="Kept in the audit trail.")

    class Meta:
        model = User
        fields = ["username", "first_name", "last_name", "email"]


def link(request: HttpRequest, user: User) -> str:
    """The address at which the person chooses a password."""
    arguments = [urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)]
    return request.build_absolute_uri(reverse("welcome", args=arguments))


class Welcome(PasswordResetConfirmView):
    """Where the link leads. The token leaves the address at once, so that no log and no other page gets it."""

    site: AdminSite | None = None
    template_name = "console/welcome.html"
    success_url = reverse_lazy("admin:login")

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        assert self.site is not None
        return super().get_context_data(**self.site.each_context(self.request), **more)

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is set: log in with it.")
        return super().form_valid(form)
