"""People who log in, and the Apps that they have a role in; a platform operator has every one of them."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from apps.accounts import audit, second_factor
from apps.accounts.models import User
from apps.accounts.permissions import Caller, Role
from apps.tenancy.models import App, Membership


def caller(user: User, app: App) -> Caller | None:
    """Who the person is within the App; None for somebody without a role there, or where the App is suspended."""
    return member(user, app) if user.is_superuser or app.status == App.Status.ACTIVE else None


def member(user: User, app: App) -> Caller | None:
    """The same, whatever the state of the App."""
    if not user.is_active:
        return None
    if user.is_superuser:
        return Caller(user.get_username(), Role.ADMIN, is_platform_operator=True)
    found = Membership.objects.filter(user=user, app=app).first()
    if found is None:
        return None
    role = Role(found.role)
    return Caller(user.get_username(), role, app_name=app.name, sees_payloads=sees(role, found.sees_payloads))


def sees(role: Role, allowed: bool) -> bool:
    """Whether somebody reads what tasks were given and gave: only viewers have to be allowed to."""
    return role != Role.VIEWER or allowed


def invite(user: User, app: App, role: str, *, by: str, sees_payloads: bool = False, reason: str = "") -> User:
    """Makes the account, which nobody can log in to until a password is chosen, with its role in the App."""
    user.set_unusable_password()
    with transaction.atomic():
        user.save(force_insert=True)
        Membership.objects.create(user=user, app=app, role=Role(role), sees_payloads=sees_payloads)
        audit.record("person_invited", by=by, app_name=app.name, target=user.username, reason=reason, role=role)
    return user


def forget_password(user: User, *, by: str, reason: str = "") -> None:
    """Ends all that the password has begun, and the second factor; another password is chosen with a link."""
    user.set_unusable_password()
    with transaction.atomic():
        user.save(update_fields=["password"])
        second_factor.turn_off(user, by=by, reason=reason)
        audit.record("password_forgotten", by=by, target=user.username, reason=reason)


def apps_of(user: User) -> QuerySet[App]:
    """The Apps that the person may enter."""
    if user.is_superuser:
        return App.objects.exclude(status=App.Status.DELETING)
    return App.objects.filter(status=App.Status.ACTIVE, memberships__user=user)


def has_role(user: User) -> bool:
    """Whether there is anything for the person to do here."""
    return user.is_superuser or apps_of(user).exists()
