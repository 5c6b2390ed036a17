"""Who sends a request, from its credentials and from nothing else in it."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotFound, PermissionDenied
from rest_framework.request import Request

from apps.accounts import tokens
from apps.accounts.models import User
from apps.accounts.permissions import Caller, Role
from apps.tenancy import lifecycle
from apps.tenancy.errors import AppNotFound
from apps.tenancy.models import DEFAULT_APP, App

OPERATOR = Caller("operator", Role.ADMIN, is_platform_operator=True)
APP_HEADER = "X-Hector-App"


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer` with the operator secret or an App's token."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send `Authorization: Bearer TOKEN`.")
        credentials = credentials.strip()
        if tokens.is_operator_secret(credentials):
            return OPERATOR, None
        try:
            claims = tokens.verify(credentials)
            role = Role(claims.role)
        except (tokens.InvalidToken, ValueError):
            raise AuthenticationFailed("The token is not valid, or has expired.") from None
        actor = f"{claims.subject}/{claims.jti[:8]}"
        return Caller(actor, role, app_name=claims.tenant_id, expires_at=claims.expires_at), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="Hector"'


class ConsoleSession(BaseAuthentication):
    """Somebody who is logged in to the console. For reading documents only: it does not look for forged requests."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active:
            return None
        return Caller(user.get_username(), Role.VIEWER, is_platform_operator=user.is_superuser), None


def app_of(request: Request, caller: Caller) -> App:
    """The App that a request is about: the token's, or for an operator the one that `X-Hector-App` names.

    Raises PermissionDenied where the token's App is gone or suspended, NotFound where the header names none.
    """
    if caller.app_name is None:
        name = request.headers.get(APP_HEADER) or DEFAULT_APP
        try:
            return lifecycle.get(name)
        except (AppNotFound, ValueError):  # ValueError: a name that no database can hold
            raise NotFound(f"There is no App of the name that {APP_HEADER} gives.") from None
    try:
        app = lifecycle.get(caller.app_name)
    except AppNotFound:
        raise PermissionDenied("The App of this token does not exist any more.") from None
    if app.status != App.Status.ACTIVE:
        raise PermissionDenied(f"The App {app.name} is {app.status}.")
    return app
