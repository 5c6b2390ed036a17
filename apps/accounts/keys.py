"""The key pairs that sign tokens, as this process knows them.

They are read from the database and kept for a minute, so that all replicas agree without a query per request. The
newest signs. The others verify until no token that they have signed is good any more; then the next rotation removes
them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Container
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from django.db import transaction

from apps.accounts import audit, crypto
from apps.accounts.models import SigningKey

ALGORITHM = "ES256"
_KEPT_SECONDS = 60.0
_UNKNOWN_KEPT_SECONDS = 1.0  # so that tokens with invented key ids do not cost a query each
STILL_SIGNS = timedelta(hours=1)  # well over the minute that other replicas keep a key, and an access token's life


@dataclass(frozen=True)
class KeyPair:
    kid: str
    public: str
    private: str  # encrypted

    def private_pem(self) -> str:
        return crypto.decrypt(self.private, context=_context(self.kid))

    def jwk(self) -> dict[str, Any]:
        algorithm = jwt.get_algorithm_by_name(ALGORITHM)
        public = algorithm.to_jwk(algorithm.prepare_key(self.public), as_dict=True)
        return public | {"kid": self.kid, "alg": ALGORITHM, "use": "sig"}


_read_at = float("-inf")
_pairs: dict[str, KeyPair] = {}  # the newest first; replaced as a whole


def pairs() -> dict[str, KeyPair]:
    """All key pairs by `kid`, the one that signs first. The first one ever is made here."""
    if time.monotonic() - _read_at > _KEPT_SECONDS:
        _read()
    return _pairs


def newest() -> KeyPair:
    """The one that signs."""
    return next(iter(pairs().values()))


def find(kid: str) -> KeyPair | None:
    found = pairs().get(kid)
    if found is None and time.monotonic() - _read_at > _UNKNOWN_KEPT_SECONDS:
        _read()
        found = _pairs.get(kid)
    return found


def rotate(*, by: str, in_use: Container[str] | None, reason: str = "") -> tuple[str, list[str]]:
    """Makes the key that signs from now on; its `kid`, and those of the keys that were removed: that sign no more, and
    are not `in_use` either. None: nothing is, so only the new one stays."""
    with transaction.atomic():
        made = _make()
        if in_use is None:
            kids = list(SigningKey.objects.exclude(pk=made.pk).values_list("kid", flat=True))
        else:
            kids = [kid for kid in _replaced() if kid not in in_use]
        SigningKey.objects.filter(kid__in=kids).delete()
        audit.record("key_rotated", by=by, target=made.kid, reason=reason, removed=kids)
    _read()
    return made.kid, kids


def _replaced() -> list[str]:
    """The keys that sign no more, on no replica."""
    rows = SigningKey.objects.all()  # the newest first
    long_ago = datetime.now(UTC) - STILL_SIGNS
    return [row.kid for newer, row in pairwise(rows) if newer.created_at < long_ago]


def reencrypt() -> None:
    """Encrypts every private key with the first of HECTOR_ENCRYPTION_KEYS."""
    for row in SigningKey.objects.all():
        context = _context(row.kid)
        ciphertext = crypto.encrypt(crypto.decrypt(row.private_key, context=context), context=context)
        SigningKey.objects.filter(pk=row.pk, private_key=row.private_key).update(private_key=ciphertext)
    _read()


def _read() -> None:
    global _pairs, _read_at
    rows = list(SigningKey.objects.all()) or [_make()]
    _pairs = {row.kid: KeyPair(row.kid, row.public_key, row.private_key) for row in rows}
    _read_at = time.monotonic()


def _make() -> SigningKey:
    key = generate_private_key(SECP256R1())
    kid = secrets.token_hex(8)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return SigningKey.objects.create(
        kid=kid, public_key=public, private_key=crypto.encrypt(private, context=_context(kid))
    )


def _context(kid: str) -> str:
    return f"signing key/{kid}"
