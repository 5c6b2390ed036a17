"""Credentials: the tokens of Apps (signed here, verified by every replica) and the operator secret."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import jwt
from django.conf import settings
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import Token

from apps.accounts import keys
from apps.accounts.permissions import Role

LIFETIME = timedelta(days=365)
_KEPT_SECONDS = 60  # after which a signature is checked again: the key may be gone
_LEEWAY_SECONDS = 10  # by which the clocks of two hosts may differ


class InvalidToken(Exception):
    """The token was not issued here, has been altered, or has expired."""

    code = "invalid_token"


@dataclass(frozen=True)
class Claims:
    tenant_id: str  # the App's name
    role: str
    jti: str
    subject: str
    expires_at: datetime


class _Backend(TokenBackend):
    """Signs or verifies with one key pair; the token's header names it."""

    def __init__(self, pair: keys.KeyPair, *, signs: bool = False) -> None:
        private = pair.private_pem() if signs else None
        super().__init__(keys.ALGORITHM, private, pair.public, leeway=_LEEWAY_SECONDS)
        self.kid = pair.kid

    def encode(self, payload: dict[str, Any]) -> str:
        return jwt.encode(payload, self.prepared_signing_key, keys.ALGORITHM, headers={"kid": self.kid})


class _AppToken(Token):
    token_type = "access"  # noqa: S105  # not a password
    lifetime = LIFETIME

    def get_token_backend(self) -> _Backend:
        token = cast("str | None", self.token)  # simplejwt says Token, and means its text
        if token is None:
            return _Backend(next(iter(keys.pairs().values())), signs=True)
        kid = jwt.get_unverified_header(token).get("kid")
        pair = keys.find(kid) if isinstance(kid, str) else None
        if pair is None:
            raise TokenError("signed with an unknown key")
        return _Backend(pair)


def issue_app_token(app_name: str, *, role: str = "admin", expires_in: timedelta | None = None) -> str:
    """A token with which a program acts in the App. Raises ValueError for a role that does not exist."""
    if role not in [*Role]:
        raise ValueError(f"{role!r} is not a role: use one of {', '.join(Role)}")
    token = _AppToken()
    token.set_exp(from_time=token.current_time, lifetime=expires_in or LIFETIME)
    token["sub"] = f"app:{app_name}"
    token["tenant_id"] = app_name
    token["role"] = role
    return str(token)


def verify(token: str) -> Claims:
    """Raises InvalidToken, whatever the text is."""
    if not token.isascii():
        raise InvalidToken
    claims = _signed(token, int(time.monotonic() / _KEPT_SECONDS))
    if claims.expires_at.timestamp() + _LEEWAY_SECONDS <= time.time():
        raise InvalidToken
    return claims


@lru_cache(maxsize=4096)
def _signed(token: str, period: int) -> Claims:
    """A good signature is checked once per period: programs send the same token with each request."""
    try:
        payload = _AppToken(cast(Any, token)).payload
        return Claims(
            tenant_id=payload["tenant_id"],
            role=payload["role"],
            jti=payload["jti"],
            subject=payload["sub"],
            expires_at=datetime.fromtimestamp(payload["exp"], UTC),
        )
    except (TokenError, jwt.InvalidTokenError, KeyError):
        raise InvalidToken from None


def is_operator_secret(text: str) -> bool:
    """In a time that does not tell how much of it was right."""
    return hmac.compare_digest(text.encode(errors="surrogatepass"), settings.HECTOR_AUTH_SECRET.encode())
