"""Tokens of another issuer, against a server that publishes its keys."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apps.accounts import issuers
from apps.accounts.issuers import IssuerNotAllowed, IssuerUnavailable
from apps.accounts.permissions import Role
from apps.accounts.signing import InvalidToken
from apps.ops.checks import contradictions
from tests.accounts.test_tokens import forged
from tests.support.issuer import PAIRS, RSA, STRANGER, Issuer, claims, jwk, running, token

PAST, FUTURE = 1_000_000_000, 32_000_000_000  # the years 2001 and 2984


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What passes for `time.monotonic()` here."""
    now = [10_000.0]
    monkeypatch.setattr(issuers, "time", SimpleNamespace(monotonic=lambda: now[0], time=time.time))
    return now


@pytest.fixture
def issuer(settings: Any, clock: list[float]) -> Iterator[Issuer]:
    with running(settings) as made:
        yield made


@pytest.mark.parametrize("kid", list(PAIRS))
def test_who_the_issuer_knows_is_let_into_the_app_with_the_role(kid: str, issuer: Issuer) -> None:
    caller = issuers.caller(token(kid))
    assert (caller.actor, caller.role, caller.app_name) == ("ext:zoe", Role.OPERATOR, "acme")
    assert not caller.is_platform_operator


def test_without_a_role_somebody_only_looks_and_sees_no_payloads(issuer: Issuer) -> None:
    caller = issuers.caller(token(role=None))
    assert (caller.role, caller.sees_payloads) == (Role.VIEWER, False)
    assert issuers.caller(token(role=None, sees_payloads=True)).sees_payloads


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": PAST},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 10**30},
        {"exp": str(FUTURE)},
        {"nbf": FUTURE},
        {"iat": FUTURE},
        {"iss": "https://login.example.org/"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"sub": None},
        {"sub": ""},
        {"sub": "x" * 151},
        {"sub": "zoe\0"},
        {"role": "emperor"},
        {"role": ["admin"]},
        {"tenant_id": None},
        {"tenant_id": ["acme"]},
    ],
    ids=str,
)
def test_a_token_with_wrong_claims_is_refused(changes: dict[str, Any], issuer: Issuer) -> None:
    with pytest.raises(InvalidToken):
        issuers.caller(token(**changes))


def test_clocks_may_differ_by_seconds(issuer: Issuer) -> None:
    assert issuers.caller(token(exp=time.time() - 5, nbf=time.time() + 5))


def test_the_issuer_lets_nobody_into_other_apps(issuer: Issuer) -> None:
    with pytest.raises(IssuerNotAllowed):
        issuers.caller(token(tenant_id="globex"))


# --- Keys -----------------------------------------------------------------------------------------------------------
def test_a_token_signed_by_somebody_else_is_refused_whatever_key_it_names(issuer: Issuer) -> None:
    for kid in ("rsa", "ec", "unheard-of"):
        with pytest.raises(InvalidToken):
            issuers.caller(token(kid, key=STRANGER, algorithm="RS256"))


def test_a_key_is_good_for_its_own_algorithm_only(issuer: Issuer) -> None:
    for algorithm in ("RS512", "PS256"):
        with pytest.raises(InvalidToken):
            issuers.caller(token("rsa", algorithm=algorithm))


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_a_public_key_is_no_password(algorithm: str, issuer: Issuer) -> None:
    public = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(InvalidToken):
        issuers.caller(forged(claims(), public, algorithm, "rsa"))


def test_a_shared_secret_among_the_keys_and_one_for_encryption_verify_nothing(issuer: Issuer) -> None:
    secret = {"kty": "oct", "kid": "oct", "k": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}
    issuer.keys += [secret, jwk("enc", RSA, "RS256") | {"use": "enc"}]
    with pytest.raises(InvalidToken):
        issuers.caller(forged(claims(), "secret-secret-secret-secret-secret", "HS256", "oct"))
    with pytest.raises(InvalidToken):
        issuers.caller(token("enc"))


def test_a_token_cannot_bring_or_point_to_a_key_of_its_own(issuer: Issuer) -> None:
    own = jwk("own", STRANGER, "RS256")
    headers = {"kid": "own", "jku": "https://evil.example.com/keys", "jwk": own}
    text = jwt.encode(claims(), STRANGER, "RS256", headers=headers)
    with pytest.raises(InvalidToken):
        issuers.caller(text)
    assert {request.path for request in issuer.server.requests} == {"/keys"}


def test_of_two_keys_with_one_name_the_first_is_meant(issuer: Issuer) -> None:
    issuer.keys.append(jwk("rsa", STRANGER, "RS256"))
    assert issuers.caller(token())
    with pytest.raises(InvalidToken):
        issuers.caller(token(key=STRANGER))


def test_keys_are_fetched_once_for_many_tokens(issuer: Issuer) -> None:
    for number in range(20):
        issuers.caller(token(sub=f"zoe{number}"))
    assert issuer.asked == 1


def test_a_new_key_is_fetched_and_invented_ones_do_not_make_a_storm(issuer: Issuer, clock: list[float]) -> None:
    issuers.caller(token())
    clock[0] += 11
    issuer.keys.append(jwk("new", STRANGER, "RS256"))
    assert issuers.caller(token("new", key=STRANGER, algorithm="RS256"))
    assert issuer.asked == 2
    for number in range(50):
        with pytest.raises(InvalidToken):
            issuers.caller(token(f"invented-{number}"))
    assert issuer.asked == 2


def test_a_key_that_is_not_published_any_more_is_worth_nothing_after_minutes(
    issuer: Issuer, clock: list[float]
) -> None:
    text = token()
    issuers.caller(text)
    issuer.keys = [key for key in issuer.keys if key["kid"] != "rsa"]
    clock[0] += issuers.FRESH_SECONDS + 61
    with pytest.raises(InvalidToken):
        issuers.caller(text)


# --- When it is away ------------------------------------------------------------------------------------------------
def breaks(issuer: Issuer, how: str) -> None:
    issuer.status, issuer.text = {"fault": (500, None), "garbage": (200, "<html>"), "nothing": (200, '{"keys": []}'),
                                  "moved": (302, ""), "list": (200, "[]")}[how]  # fmt: skip


@pytest.mark.parametrize("how", ["fault", "garbage", "nothing", "moved", "list"])
def test_while_the_issuer_is_away_known_keys_are_believed_for_an_hour(
    how: str, issuer: Issuer, clock: list[float]
) -> None:
    issuers.caller(token())
    breaks(issuer, how)
    clock[0] += issuers.FRESH_SECONDS + 1
    assert issuers.caller(token(sub="another"))
    with pytest.raises(IssuerUnavailable):
        issuers.caller(token("new", key=STRANGER, algorithm="RS256"))
    clock[0] += issuers.BELIEVED_SECONDS
    with pytest.raises(IssuerUnavailable):
        issuers.caller(token(sub="a third"))
    asked = issuer.asked
    for number in range(20):
        with pytest.raises(IssuerUnavailable):
            issuers.caller(token(sub=f"impatient {number}"))
    assert issuer.asked == asked, "nor is it asked all the time"
    issuer.status, issuer.text = 200, None
    clock[0] += issuers.PAUSE_SECONDS + 1
    assert issuers.caller(token(sub="patient"))


def test_an_issuer_that_was_never_reached_is_no_reason_to_turn_somebody_away_for_good(issuer: Issuer) -> None:
    issuer.status = 503
    with pytest.raises(IssuerUnavailable):
        issuers.caller(token())


# --- Which tokens are meant -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["", "a.b.c", "é" * 9, "\udce9", "\x00", "bnVsbA.bnVsbA.bnVsbA", "W10.W10.W10"])
def test_garbage_is_of_no_issuer(text: str, issuer: Issuer) -> None:
    assert not issuers.issued(text)


def test_only_what_names_the_issuer_is_of_it(issuer: Issuer, settings: Any) -> None:
    assert issuers.issued(token())
    assert not issuers.issued(token(iss="https://login.example.org/"))
    settings.HECTOR_AUTH_ISSUER = ""
    assert not issuers.issued(token()) and not issuers.issued(token(iss=None))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, ""),
        ({"HECTOR_AUTH_APPS": []}, "HECTOR_AUTH_APPS is missing"),
        ({"HECTOR_AUTH_AUDIENCE": "", "HECTOR_AUTH_ISSUER": ""}, "HECTOR_AUTH_ISSUER, HECTOR_AUTH_AUDIENCE is missing"),
        ({"HECTOR_AUTH_JWKS_URL": "http://login.example.com/keys"}, "https://"),
    ],
)
def test_half_of_the_settings_are_refused_at_the_start(
    changes: dict[str, Any], fault: str, issuer: Issuer, settings: Any
) -> None:
    for name, value in changes.items():
        setattr(settings, name, value)
    assert [fault in error.msg for error in contradictions()] == ([True] if fault else [])
