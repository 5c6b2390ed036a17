"""What tokens stand for: issued, looked up, refreshed, revoked; and the operator secret.

A token is worth what its credential is now (`apps.tenancy.models.Credential`), not what it was when it was signed:
revoking it, a change of the person's role, a new password and a deactivation tell at once where they are made, and in
every other process after a second at the latest. So a token in steady use costs one indexed look-up per second and
process.
"""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from apps.accounts import audit, keys, signing
from apps.accounts.models import User
from apps.accounts.permissions import Caller, Role
from apps.accounts.signing import InvalidToken
from apps.tenancy import people
from apps.tenancy.connection import connection
from apps.tenancy.models import App, Credential
from apps.tenancy.people import sees

LIFETIME = timedelta(days=365)  # of an App's token
ACCESS_LIFETIME = timedelta(minutes=15)
REFRESH_LIFETIME = timedelta(days=7)
_LOOKED_UP_SECONDS = 1.0  # for so long, a process believes what it has read of a credential
_MOST_LOOKED_UP = 10_000
_KEPT = timedelta(days=30)  # what has expired, for people who look
_MOST_NAMED = 20  # Apps
_SHOWN = 8  # characters of a token's key, which tell it from the App's others
COPIED = "hector"  # who revokes a login whose refresh token was copied


class NoSuchToken(Exception):
    """There is no such token, or it is revoked already."""

    code = "no_such_token"


class NotAMember(Exception):
    """You do not belong to that App."""

    code = "not_a_member"


class AppNotNamed(Exception):
    """Who belongs to several Apps says which one the token is for."""

    code = "app_not_named"


class AppIsGone(InvalidToken):
    """The token was good, for an App that is not there any more."""

    code = "app_gone"


@dataclass(frozen=True)
class Pair:
    """What a person gets for a password, and again for each refresh token."""

    access: str
    refresh: str


def issue_app_token(
    app_name: str,
    *,
    role: str = "admin",
    expires_in: timedelta | None = None,
    by: str = "",
    note: str = "",
    sees_payloads: bool = False,
    limits: Mapping[str, Any] | None = None,
) -> str:
    """A token with which a program acts in the App. `limits` are its own (`apps.quotas.rules`).

    Raises ValueError for a role that does not exist.
    """
    app, role = App.objects.get(name=app_name), Role(role)
    signed = signing.sign(
        "access", LIFETIME if expires_in is None else expires_in, sub=f"app:{app_name}", tenant_id=app_name, role=role
    )
    with transaction.atomic():
        Credential.objects.create(
            key=signed.jti,
            app=app,
            role=role,
            sees_payloads=sees_payloads,
            note=note,
            limits=limits or {},
            kid=signed.kid,
            created_by=by,
            expires_at=signed.expires_at,
        )
        own: dict[str, Any] = {"limits": limits} if limits else {}
        audit.record("token_issued", by=by, app_name=app_name, target=signed.jti, role=role, note=note, **own)
    return signed.text


def log_in(user: User, app_name: str | None) -> Pair:
    """Tokens of somebody whose password was right, for one App; for a platform operator who names none, for all.

    Raises NotAMember, and AppNotNamed where it is not clear which App is meant.
    """
    app = None if app_name is None and user.is_superuser else _app_for(user, app_name)
    Credential.objects.filter(expires_at__lt=timezone.now() - _KEPT).delete()
    key = secrets.token_hex(16)
    refresh = _signed_refresh(key)
    Credential.objects.create(
        key=key,
        user=user,
        app=app,
        kid=refresh.kid,
        refresh=refresh.jti,
        password_mark=user.get_session_auth_hash(),
        created_by=user.get_username(),
        expires_at=refresh.expires_at,
    )
    return Pair(_access(key), refresh.text)


def refresh(text: str) -> Pair:
    """The next tokens of a login. Each refresh token is good once: one that comes back ends the login, for it has been
    copied (whoever holds the newer one may be the thief). Raises InvalidToken."""
    claims = signing.verify(text, "refresh")
    signed = _signed_refresh(claims.key)
    with transaction.atomic():  # a login that is worth nothing any more keeps its refresh token
        taken = Credential.objects.filter(key=claims.key, refresh=claims.jti, revoked_at=None).update(
            refresh=signed.jti, kid=signed.kid, expires_at=signed.expires_at
        )
        if taken:
            return Pair(_access(claims.key), signed.text)
    _revoke(claims.key, by=COPIED, reason="A refresh token was used twice.")
    raise InvalidToken


def revoke(text: str) -> None:
    """Ends what the token stands for: itself, or the whole login that it belongs to. Garbage is no token to revoke."""
    for kind in signing.KINDS:
        try:
            claims = signing.verify(text, kind)
        except InvalidToken:
            continue
        holder = _looked_up(claims.key)
        _revoke(claims.key, by=holder.actor if holder else "")


def revoke_app_token(app_name: str, key: str, *, by: str, reason: str = "") -> None:
    """Raises NoSuchToken."""
    if not _revoke(key, by=by, reason=reason, app__name=app_name, user=None):
        raise NoSuchToken("The App has no such token, or it is revoked already.")


def caller(text: str) -> Caller:
    """Who acts with the token, and as what. Raises InvalidToken, AppIsGone."""
    claims = signing.verify(text)
    found = _looked_up(claims.key)
    if found is not None and found.app_name == claims.tenant_id:
        return replace(found, expires_at=claims.expires_at, credential=claims.key)
    if claims.tenant_id is not None and not App.objects.filter(name=claims.tenant_id).exists():
        raise AppIsGone(claims.tenant_id)
    raise InvalidToken


def is_still_good(caller: Caller) -> bool:
    """Of somebody who was let in a while ago: whether the token still says the same."""
    if caller.expires_at is not None and timezone.now() >= caller.expires_at:
        return False
    if not caller.credential:
        return True
    found = _looked_up(caller.credential)
    return found is not None and replace(found, expires_at=caller.expires_at, credential=caller.credential) == caller


def rotate_keys(*, by: str, at_once: bool = False, reason: str = "") -> tuple[str, list[str]]:
    """Makes the key that signs from now on; its `kid`, and those of the keys that were removed: the ones whose tokens
    have all expired or been revoked.

    With `at_once` no other key verifies any more, and every token of before is worth nothing (in another process
    within two minutes): for a key that has got into the wrong hands.
    """
    good = Credential.objects.filter(revoked_at=None, expires_at__gt=timezone.now() - keys.STILL_SIGNS)
    in_use = set(good.values_list("kid", flat=True))
    return keys.rotate(by=by, in_use=None if at_once else in_use, reason=reason)


def forget() -> None:
    """After a change of roles or people: this process looks again at once."""
    _callers.clear()
    _limits.clear()


def is_operator_secret(text: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(text.encode(errors="surrogatepass"), settings.HECTOR_AUTH_SECRET.encode())


# --- Looking up ---------------------------------------------------------------------------------------------------
_callers: dict[str, tuple[float, Caller | None]] = {}  # by key, with the time that they were read


def _looked_up(key: str) -> Caller | None:
    """None: revoked, of a person who may not log in any more, or of an App that is gone."""
    now = time.monotonic()
    known = _callers.get(key)
    if known is not None and now - known[0] < _LOOKED_UP_SECONDS:
        return known[1]
    if len(_callers) >= _MOST_LOOKED_UP:
        _callers.clear()
    found = _read(key)
    _callers[key] = (now, found)
    return found


def _read(key: str) -> Caller | None:
    with connection.shared_tables_only():
        credential = Credential.objects.filter(key=key, revoked_at=None).select_related("user", "app").first()
        if credential is None:
            return None
        if credential.user is not None:
            return _of_person(credential, credential.user)
    assert credential.app is not None  # a constraint of the database
    name, role = credential.app.name, Role(credential.role)
    actor = actor_of(name, key)
    _limits[actor] = time.monotonic(), credential.limits  # whoever acts with it now is asked for them next
    return Caller(actor, role, app_name=name, sees_payloads=sees(role, credential.sees_payloads))


def actor_of(app_name: str, key: str) -> str:
    """How events name who acts with an App's token."""
    return f"app:{app_name}/{key[:_SHOWN]}"


# --- Limits of App tokens -----------------------------------------------------------------------------------------
_limits: dict[str, tuple[float, dict[str, Any]]] = {}  # by the token's actor, with the time that they were read


def limits_of(actor: str) -> dict[str, Any]:
    """The limits of the App's token that somebody acts, or has acted, with: also of one that is revoked by now.

    Nobody else has any. They are read with the token itself, so who has just come in with it is known.
    """
    if not actor.startswith("app:"):
        return {}
    now = time.monotonic()
    known = _limits.get(actor)
    if known is not None and now - known[0] < _LOOKED_UP_SECONDS:
        return known[1]
    if len(_limits) >= _MOST_LOOKED_UP:
        _limits.clear()
    app_name, _, beginning = actor.removeprefix("app:").partition("/")
    with connection.shared_tables_only():
        named = Credential.objects.filter(app__name=app_name, key__startswith=beginning, user=None)
        found = named.values_list("limits", flat=True).first()
    _limits[actor] = now, found or {}
    return found or {}


def _of_person(credential: Credential, user: User) -> Caller | None:
    if not user.is_active or not hmac.compare_digest(credential.password_mark, user.get_session_auth_hash()):
        return None
    if credential.app is not None:
        found = people.member(user, credential.app)
        return found and replace(found, is_platform_operator=False, app_name=credential.app.name)
    return Caller(user.get_username(), Role.ADMIN, is_platform_operator=True) if user.is_superuser else None


# --- Issuing and ending -------------------------------------------------------------------------------------------
def _app_for(user: User, app_name: str | None) -> App:
    mine = App.objects.all() if user.is_superuser else App.objects.filter(memberships__user=user)
    if app_name is not None:
        app = mine.filter(name=app_name).first()
        if app is None:
            raise NotAMember("You do not belong to that App.")
        return app
    found = list(mine.order_by("name")[:_MOST_NAMED])
    if not found:
        raise NotAMember("You do not belong to any App.")
    if len(found) > 1:
        raise AppNotNamed(f"Say for which App: {', '.join(app.name for app in found)}.")
    return found[0]


def _access(key: str) -> str:
    holder = _read(key)
    if holder is None:
        raise InvalidToken
    claims = {"sub": holder.actor, "sid": key, "role": holder.role}
    if holder.app_name is not None:
        claims["tenant_id"] = holder.app_name
    return signing.sign("access", ACCESS_LIFETIME, **claims).text


def _signed_refresh(key: str) -> signing.Signed:
    return signing.sign("refresh", REFRESH_LIFETIME, sid=key, role="")


def _revoke(key: str, *, by: str, reason: str = "", **which: object) -> bool:
    with transaction.atomic():
        credential = Credential.objects.filter(key=key, revoked_at=None, **which).select_related("app").first()
        if credential is None or not Credential.objects.filter(pk=credential.pk, revoked_at=None).update(
            revoked_at=Now(), revoked_by=by
        ):
            return False
        name = credential.app.name if credential.app else ""
        audit.record("token_revoked", by=by, app_name=name, target=key, reason=reason)
    _callers.pop(key, None)
    return True
