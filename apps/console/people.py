"""The people of an installation, as far as an operator manages them here."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts.models import User
from apps.tenancy.models import Membership


class Memberships(TabularInline):  # type: ignore[misc]  # Unfold has no types
    model = Membership
    extra = 0
    verbose_name = "role in an App"
    verbose_name_plural = "roles in Apps"


class PeopleAdmin(UserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]  # Unfold has no types
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "first_name", "last_name", "email", "is_active", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser")
    filter_horizontal = ()
    inlines = (Memberships,)
    search_fields = ("username", "first_name", "last_name", "email")
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {
            "fields": ("is_active", "is_superuser"),
            "description": "A superuser is a platform operator: every App, every page. Others see the approvals of the "
            "Apps in which they have a role; approvers and admins decide about them.",
        }),
        ("History", {"fields": ("last_login", "date_joined")}),
    )  # fmt: skip
    readonly_fields = ("last_login", "date_joined")
    add_fieldsets = ((None, {"fields": ("username", "usable_password", "password1", "password2")}),)

    def get_inlines(self, request: HttpRequest, obj: User | None) -> tuple[Any, ...]:
        return self.inlines if obj else ()  # somebody is made first

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"title": "People", **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """An operator passes Django's own check for staff, too."""
        obj.is_staff = obj.is_superuser
        super().save_model(request, obj, form, change)
