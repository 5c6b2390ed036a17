"""What is a token, and what is none."""

from __future__ import annotations

import base64
import json
from datetime import timedelta

import jwt
import pytest

from apps.accounts import keys, signing
from apps.tenancy import tokens

pytestmark = pytest.mark.django_db


def forged(payload: dict[str, object], key: str, algorithm: str, kid: str) -> str:
    """A token made by hand: PyJWT itself refuses to sign with a public key as if it were a password."""
    import hashlib
    import hmac

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    head = part(json.dumps({"alg": algorithm, "typ": "JWT", "kid": kid}).encode())
    body = part(json.dumps(payload).encode())
    mac = hmac.new(key.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{part(mac) if algorithm != 'none' else ''}"


def test_a_token_names_its_app_and_role() -> None:
    claims = signing.verify(tokens.issue_app_token("acme", role="approver"))
    assert (claims.tenant_id, claims.role) == ("acme", "approver")


def test_every_token_has_an_id_of_its_own() -> None:
    first, second = (signing.verify(tokens.issue_app_token("acme")) for _ in range(2))
    assert first.jti != second.jti


def test_a_token_expires() -> None:
    with pytest.raises(signing.InvalidToken):
        signing.verify(tokens.issue_app_token("acme", expires_in=timedelta(seconds=-60)))


def test_an_unknown_role_cannot_be_issued() -> None:
    with pytest.raises(ValueError, match="emperor"):
        tokens.issue_app_token("acme", role="emperor")


def test_anybody_can_verify_a_token_with_the_published_key() -> None:
    token = tokens.issue_app_token("acme")
    (published,) = [key for key in signing.jwks()["keys"] if key["kid"] == jwt.get_unverified_header(token)["kid"]]
    assert "d" not in published
    assert jwt.decode(token, jwt.PyJWK(published), algorithms=["ES256"])["tenant_id"] == "acme"


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_that_names_another_algorithm_is_refused(algorithm: str) -> None:
    payload = jwt.decode(tokens.issue_app_token("acme"), options={"verify_signature": False})
    pair = next(iter(keys.pairs().values()))
    with pytest.raises(signing.InvalidToken):
        signing.verify(forged(payload, pair.public, algorithm, pair.kid))


def test_a_token_signed_by_somebody_else_is_refused() -> None:
    stranger = keys._make()
    pair = keys.KeyPair(stranger.kid, stranger.public_key, stranger.private_key)
    stranger.delete()
    payload = jwt.decode(tokens.issue_app_token("acme"), options={"verify_signature": False})
    known = next(iter(keys.pairs()))
    for kid in (stranger.kid, known):
        with pytest.raises(signing.InvalidToken):
            signing.verify(jwt.encode(payload, pair.private_pem(), "ES256", headers={"kid": kid}))


def test_an_altered_token_is_refused() -> None:
    head, body, signature = tokens.issue_app_token("acme").split(".")
    payload = json.loads(base64.urlsafe_b64decode(body + "=="))
    altered = base64.urlsafe_b64encode(json.dumps(payload | {"tenant_id": "globex"}).encode()).rstrip(b"=").decode()
    with pytest.raises(signing.InvalidToken):
        signing.verify(f"{head}.{altered}.{signature}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "a.b.c",
        "Bearer x",
        "é" * 20,
        "\udce9",
        "\x00",
        "e30.e30.e30",
        "eyJhbGciOiJFUzI1NiIsImtpZCI6NX0.e30.x",
        "A" * 100_000,
        "bnVsbA.bnVsbA.bnVsbA",
        "W10.W10.W10",
    ],
)
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(signing.InvalidToken):
        signing.verify(text)


def test_only_the_operator_secret_is_the_operator_secret(settings: object) -> None:
    assert tokens.is_operator_secret("operator-secret-of-the-tests")
    for text in ("", "operator-secret-of-the-test", "é", "\udce9"):
        assert not tokens.is_operator_secret(text)


def test_a_key_made_by_another_replica_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens.issue_app_token("acme")
    row = keys._make()
    pair = keys.KeyPair(row.kid, row.public_key, row.private_key)
    token = str(
        jwt.encode(
            {"exp": 2**31, "jti": "1", "token_type": "access", "sub": "x", "tenant_id": "acme", "role": "viewer"},
            pair.private_pem(),
            "ES256",
            headers={"kid": row.kid},
        )
    )
    monkeypatch.setattr(keys, "_read_at", keys._read_at - 2)
    assert signing.verify(token).role == "viewer"


def test_the_private_key_is_encrypted_at_rest() -> None:
    tokens.issue_app_token("acme")
    assert all("PRIVATE" not in pair.private for pair in keys.pairs().values())
