"""Tokens of another issuer, such as a company's login: verified with the keys that it publishes (JWKS, RFC 7517).

The issuer, the audience and the Apps it is allowed for are settings (`HECTOR_AUTH_…`), so nothing in a token chooses
where its key is fetched from; that address is the operator's choice, also a private one, and no redirect leads away
from it. Keys are kept and fetched again after five minutes, or at once for an unknown one, but
never more often than every ten seconds. While the issuer is away, known keys are believed for an hour; a token with an
unknown one is neither right nor wrong then, and answered with 503.
"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

import jwt
import structlog
from django.conf import settings

from apps.accounts.permissions import Caller, Role
from apps.accounts.signing import LEEWAY_SECONDS, InvalidToken

# Of key pairs only: with a shared secret among them, a public key would do for one.
ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
FRESH_SECONDS = 300.0
BELIEVED_SECONDS = 3600.0
PAUSE_SECONDS = 10.0  # between two fetches
TIMEOUT_SECONDS = 5.0
_VERIFIED_SECONDS = 60  # after which a signature is checked again: the key may be gone
_LONGEST_SUBJECT = 150

log = structlog.get_logger(__name__)


class IssuerNotAllowed(Exception):
    """The issuer of the token may not let anybody into that App (HECTOR_AUTH_APPS)."""

    code = "issuer_not_allowed"

    def __init__(self) -> None:
        super().__init__("The issuer of this token may not let anybody into the App that it names.")


class IssuerUnavailable(Exception):
    """The keys of the token's issuer cannot be fetched now; try again."""

    code = "issuer_unavailable"

    def __init__(self) -> None:
        super().__init__("The keys of the token's issuer cannot be fetched now; try again.")


class Keys:
    """The keys at one address, as this process knows them."""

    def __init__(self, url: str) -> None:
        self._client = jwt.PyJWKClient(url, cache_jwk_set=False, timeout=TIMEOUT_SECONDS)
        self._keys: dict[str, jwt.PyJWK] = {}  # by `kid`; replaced as a whole
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = threading.Lock()

    def find(self, kid: str) -> jwt.PyJWK | None:
        """None: the issuer has no such key. Raises IssuerUnavailable where that cannot be told."""
        known = self._keys.get(kid)
        if known is None or time.monotonic() - self._fetched_at > FRESH_SECONDS:
            self._fetch()
            known = self._keys.get(kid)
        age = time.monotonic() - self._fetched_at
        if age > BELIEVED_SECONDS or (known is None and self._tried_at > self._fetched_at):
            raise IssuerUnavailable
        return known

    def _fetch(self) -> None:
        """One thread asks; the others go on with what there is, or wait for it if there is nothing yet."""
        if not self._fetching.acquire(blocking=not self._keys):
            return
        try:
            if time.monotonic() - self._tried_at < PAUSE_SECONDS:
                return
            self._tried_at = time.monotonic()
            try:
                found = self._client.get_signing_keys()
            except (jwt.PyJWTError, ValueError, OSError) as error:
                log.warning("issuer_keys_unavailable", url=self._client.uri, error=str(error))
                return
            usable = [key for key in found if key.algorithm_name in ALGORITHMS]
            self._keys = {key.key_id: key for key in reversed(usable) if key.key_id}
            self._fetched_at = self._tried_at = time.monotonic()
        finally:
            self._fetching.release()


def issued(text: str) -> bool:
    """Whether the token says that it is of the other issuer; whether that is true is another matter."""
    if not settings.HECTOR_AUTH_ISSUER or not text.isascii():
        return False
    try:
        claims = jwt.decode(text, options={"verify_signature": False})
    except jwt.PyJWTError:
        return False
    return claims.get("iss") == settings.HECTOR_AUTH_ISSUER


def caller(text: str) -> Caller:
    """Who acts with the token, and as what. Raises InvalidToken, IssuerNotAllowed, IssuerUnavailable."""
    found = _verified(text, int(time.monotonic() / _VERIFIED_SECONDS))
    assert found.expires_at is not None
    if found.expires_at.timestamp() + LEEWAY_SECONDS <= time.time():
        raise InvalidToken
    if found.app_name not in settings.HECTOR_AUTH_APPS:
        raise IssuerNotAllowed
    return found


@lru_cache(maxsize=4096)
def _verified(text: str, period: int) -> Caller:
    try:
        claims = _claims(text)
        expires_at = datetime.fromtimestamp(claims["exp"], UTC)
        role = Role(claims.get("role", Role.VIEWER))
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError):  # an `exp` may be whatever JSON holds
        raise InvalidToken from None
    subject, app_name = claims["sub"], claims.get("tenant_id")
    if not isinstance(app_name, str) or not (0 < len(subject) <= _LONGEST_SUBJECT and subject.isprintable()):
        raise InvalidToken
    # No name of a person here has a colon: nobody can be taken for somebody else.
    found = Caller(f"ext:{subject}", role, app_name=app_name, expires_at=expires_at)
    return replace(found, sees_payloads=role != Role.VIEWER or claims.get("sees_payloads") is True)


def _claims(text: str) -> dict[str, Any]:
    """Raises PyJWTError, IssuerUnavailable. The key says which algorithm it is for, the token has to agree."""
    header = jwt.get_unverified_header(text)
    kid = header.get("kid")
    key = _keys(settings.HECTOR_AUTH_JWKS_URL).find(kid) if isinstance(kid, str) else None
    if key is None or header.get("alg") != key.algorithm_name:
        raise jwt.InvalidKeyError
    return jwt.decode(
        text,
        key,
        algorithms=[key.algorithm_name],
        issuer=settings.HECTOR_AUTH_ISSUER,
        audience=settings.HECTOR_AUTH_AUDIENCE,
        leeway=LEEWAY_SECONDS,
        options={"require": ["exp", "iss", "aud", "sub"]},
    )


@cache
def _keys(url: str) -> Keys:
    return Keys(url)
