"""Who sends a request, from its credentials and from nothing else in it."""

from __future__ import annotations

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotFound
from rest_framework.request import Request

from apps.accounts import issuers, signing
from apps.accounts.models import User
from apps.accounts.permissions import Caller, Role
from apps.tenancy import lifecycle, tokens
from apps.tenancy.errors import AppNotActive, AppNotFound, NoAppOfToken
from apps.tenancy.models import DEFAULT_APP, App

OPERATOR = Caller("operator", Role.ADMIN, is_platform_operator=True)
APP_HEADER = "X-Hector-App"
READING = ("GET", "HEAD")
CALLER = "hector.caller"  # who sends a request that never left this process, in its environment: no header gets there


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer` with the operator secret, an App's token, a person's, or another issuer's."""

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        if isinstance(caller := request.META.get(CALLER), Caller):
            return caller, None
        scheme, _, credentials = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send `Authorization: Bearer TOKEN`.")
        credentials = credentials.strip()
        if tokens.is_operator_secret(credentials):
            return OPERATOR, None
        try:
            of_another = issuers.issued(credentials)
            return (issuers if of_another else tokens).caller(credentials), None
        except tokens.AppIsGone as gone:
            raise NoAppOfToken(str(gone)) from None
        except signing.InvalidToken:
            raise AuthenticationFailed("The token is not valid, or has expired.") from None

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

    Raises NoAppOfToken where the token's App is gone, NotFound where the header names none, AppNotActive where somebody
    other than an operator who only looks asks for one that is suspended. No other App stands in for one that is not
    there.
    """
    app = _named(request, caller)
    if app.status != App.Status.ACTIVE and not (caller.is_platform_operator and request.method in READING):
        raise AppNotActive(app.name, app.status)
    return app


def _named(request: Request, caller: Caller) -> App:
    if caller.app_name is None:
        name = request.headers.get(APP_HEADER) or DEFAULT_APP
        try:
            return lifecycle.get(name)
        except (AppNotFound, ValueError):  # ValueError: a name that no database can hold
            raise NotFound(f"There is no App of the name that {APP_HEADER} gives.") from None
    try:
        return lifecycle.get(caller.app_name)
    except AppNotFound:
        raise NoAppOfToken(caller.app_name) from None
