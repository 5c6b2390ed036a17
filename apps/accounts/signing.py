"""Tokens as texts: what is signed here, and whether a text was. What a token is worth, `apps.tenancy.tokens` says."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import jwt
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenError
from rest_framework_simplejwt.tokens import Token

from apps.accounts import keys

_KEPT_SECONDS = 60  # after which a signature is checked again: the key may be gone
LEEWAY_SECONDS = 10  # by which the clocks of two hosts may differ


class InvalidToken(Exception):
    """The token is not valid, or has expired."""

    code = "invalid_token"


@dataclass(frozen=True)
class Claims:
    jti: str
    key: str  # of the credential that the token stands for
    tenant_id: str | None  # the App's name; None: a platform operator, who names one with each request
    role: str
    expires_at: datetime


class _Backend(TokenBackend):
    """Signs or verifies with one key pair; the token's header names it."""

    def __init__(self, pair: keys.KeyPair, *, signs: bool = False) -> None:
        private = pair.private_pem() if signs else None
        super().__init__(keys.ALGORITHM, private, pair.public, leeway=LEEWAY_SECONDS)
        self.kid = pair.kid

    def encode(self, payload: dict[str, Any]) -> str:
        return jwt.encode(payload, self.prepared_signing_key, keys.ALGORITHM, headers={"kid": self.kid})


class _Token(Token):
    lifetime = timedelta(0)  # each one is given its own

    def get_token_backend(self) -> _Backend:
        token = cast("str | None", self.token)  # simplejwt says Token, and means its text
        if token is None:
            return _Backend(keys.newest(), signs=True)
        kid = jwt.get_unverified_header(token).get("kid")
        pair = keys.find(kid) if isinstance(kid, str) else None
        if pair is None:
            raise TokenError("signed with an unknown key")
        return _Backend(pair)


class _Access(_Token):
    token_type = "access"  # noqa: S105  # not a password


class _Refresh(_Token):
    token_type = "refresh"  # noqa: S105  # not a password


KINDS: dict[str, type[_Token]] = {kind.token_type: kind for kind in (_Access, _Refresh)}


@dataclass(frozen=True)
class Signed:
    text: str
    jti: str
    kid: str
    expires_at: datetime


def sign(kind: str, lifetime: timedelta, **claims: Any) -> Signed:
    """A new token of the kind, `access` or `refresh`, with an id of its own."""
    token = KINDS[kind]()
    token.set_exp(from_time=token.current_time, lifetime=lifetime)
    for name, value in claims.items():
        token[name] = value
    text = str(token)
    kid = jwt.get_unverified_header(text)["kid"]
    return Signed(text, token["jti"], kid, datetime.fromtimestamp(token["exp"], UTC))


def verify(text: str, kind: str = "access") -> Claims:
    """Raises InvalidToken, whatever the text is."""
    if not text.isascii():
        raise InvalidToken
    claims = _signed(text, kind, int(time.monotonic() / _KEPT_SECONDS))
    if claims.expires_at.timestamp() + LEEWAY_SECONDS <= time.time():
        raise InvalidToken
    return claims


@lru_cache(maxsize=4096)
def _signed(text: str, kind: str, period: int) -> Claims:
    """A good signature is checked once per period: programs send the same token with each request."""
    try:
        payload = KINDS[kind](cast(Any, text)).payload
        return Claims(
            jti=payload["jti"],
            key=payload.get("sid", payload["jti"]),
            tenant_id=payload.get("tenant_id"),
            role=payload["role"],
            expires_at=datetime.fromtimestamp(payload["exp"], UTC),
        )
    except (TokenError, jwt.InvalidTokenError, KeyError):
        raise InvalidToken from None


def jwks() -> dict[str, list[dict[str, Any]]]:
    """The public keys, as `/.well-known/jwks.json` shows them (RFC 7517)."""
    return {"keys": [pair.jwk() for pair in keys.pairs().values()]}
