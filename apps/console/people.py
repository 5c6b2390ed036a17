"""The people of an installation, as far as an operator manages them here."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.admin import UserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from apps.accounts import audit
from apps.accounts.models import User
from apps.tenancy import tokens
from apps.tenancy.models import Membership


class PersonForm(UserChangeForm):  # type: ignore[misc]  # Unfold has no types
    reason = forms.CharField(
        max_length=1000, required=False, widget=UnfoldAdminTextInputWidget, help_text="Kept in the audit trail."
    )


class Memberships(TabularInline):  # type: ignore[misc]  # Unfold has no types
    model = Membership
    extra = 0
    verbose_name = "role in an App"
    verbose_name_plural = "roles in Apps"


class PeopleAdmin(UserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]  # Unfold has no types
    form = PersonForm
    change_list_template = "console/people.html"
    change_form_template = "console/person.html"
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
            "description": "A superuser is a platform operator: every App, every page. Others see the Apps in which "
            "they have a role, and the pages that it opens. Who is not active cannot log in, and loses all tokens.",
        }),
        ("Why", {"fields": ("reason",)}),
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

    # Django calls these in the transaction of the change, and wants nothing back; its own log is not shown anywhere.
    def log_addition(self, request: HttpRequest, obj: User, message: Any) -> None:  # type: ignore[override]
        self._record(request, "person_added", obj, message)

    def log_change(self, request: HttpRequest, obj: User, message: Any) -> None:  # type: ignore[override]
        self._record(request, "person_changed", obj, message)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[User]) -> None:  # type: ignore[override]
        for person in queryset:
            self._record(request, "person_deleted", person, "")

    def _record(self, request: HttpRequest, action: str, person: User, message: Any) -> None:
        by, reason = request.user.get_username(), request.POST.get("reason", "").strip()
        state: dict[str, Any] = {"active": person.is_active, "platform_operator": person.is_superuser}
        audit.record(action, by=by, target=person.username, reason=reason, changes=message, **state)
        tokens.forget()
