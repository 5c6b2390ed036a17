"""Another issuer of tokens: a server that publishes its keys, and the tokens that it signs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from apps.accounts import issuers
from tests.support.http_server import Answer, LocalServer

ISSUER, AUDIENCE = "https://login.example.com/", "hector"
RSA = rsa.generate_private_key(65537, 2048)
PAIRS: dict[str, tuple[Any, str]] = {
    "rsa": (RSA, "RS256"),
    "ec": (ec.generate_private_key(ec.SECP256R1()), "ES256"),
    "ed": (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
}
STRANGER = rsa.generate_private_key(65537, 2048)


def jwk(kid: str, key: Any, algorithm: str, **more: str) -> dict[str, Any]:
    made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
    return {**made, "kid": kid, "use": "sig", **more}


class Issuer:
    """The other side: its published keys may change, and it may be away."""

    def __init__(self) -> None:
        self.keys = [jwk(kid, *pair) for kid, pair in PAIRS.items()]
        self.status = 200
        self.text: str | None = None
        self.server = LocalServer(lambda request: Answer(self._body(), self.status))

    def _body(self) -> bytes:
        return (json.dumps({"keys": self.keys}) if self.text is None else self.text).encode()

    @property
    def asked(self) -> int:
        return len(self.server.requests)


def claims(**changes: Any) -> dict[str, Any]:
    made = {"iss": ISSUER, "aud": AUDIENCE, "sub": "zoe", "tenant_id": "acme", "role": "operator", "iat": time.time()}
    made = made | {"exp": time.time() + 60} | changes
    return {name: value for name, value in made.items() if value is not None}


def token(kid: str = "rsa", *, key: Any = None, algorithm: str = "", **changes: Any) -> str:
    of_kid, its_algorithm = PAIRS.get(kid, (RSA, "RS256"))
    return str(jwt.encode(claims(**changes), key or of_kid, algorithm or its_algorithm, headers={"kid": kid}))


@contextmanager
def running(settings: Any) -> Iterator[Issuer]:
    """An issuer that is allowed for the App `acme`."""
    made = Issuer()
    with made.server:
        settings.HECTOR_AUTH_JWKS_URL = f"{made.server.url}/keys"
        settings.HECTOR_AUTH_ISSUER, settings.HECTOR_AUTH_AUDIENCE = ISSUER, AUDIENCE
        settings.HECTOR_AUTH_APPS = ["acme"]
        issuers._keys.cache_clear()
        issuers._verified.cache_clear()
        yield made
