"""Signatures of incoming requests: the vectors that providers publish, and what is not signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.agents.errors import PermanentError
from apps.triggers.errors import BadSignature
from apps.triggers.webhooks.signatures import FORMS, Form, Generic, verify

STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"
SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN"
    b"&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
# form: secret, headers, body, the second at which it was signed. GitHub, Slack and Standard Webhooks publish theirs;
# Stripe publishes how it is made, and `openssl dgst -sha256 -hmac` made this one.
VECTORS: dict[str, tuple[str, dict[str, str], bytes, float]] = {
    "github": (
        "It's a Secret to Everybody",
        {"X-Hub-Signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"},
        b"Hello, World!",
        0,
    ),
    "slack": (
        "8f742231b10e8888abcd99yyyzzz85a5",
        {
            "X-Slack-Request-Timestamp": "1531420618",
            "X-Slack-Signature": "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
        },
        SLACK_BODY,
        1531420618,
    ),
    "standard-webhooks": (
        STANDARD,
        {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
        b'{"test": 2432232314}',
        1614265330,
    ),
    "stripe": (
        "whsec_test",
        {
            "Stripe-Signature": "t=1492774577,"
            "v1=952cd89626c79cd65f12880afd38333422a10b88ff71136627ceb92ccdb0132c,"
            "v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"
        },
        b'{"id": "evt_1"}',
        1492774577,
    ),
}
TIMED = [name for name in VECTORS if name != "github"]
EVERY = pytest.mark.parametrize("name", VECTORS)
GENERIC = Generic(header="X-Signature")


def hexed(secret: str, body: bytes, hash: str = "sha256") -> str:
    return hmac.new(secret.encode(), body, hash).hexdigest()


@EVERY
def test_the_providers_own_example_is_good(name: str) -> None:
    secret, headers, body, now = VECTORS[name]
    assert verify(FORMS[name], secret, headers, body, now=now)


@EVERY
def test_another_body_secret_or_no_signature_is_refused(name: str) -> None:
    secret, headers, body, now = VECTORS[name]
    other = OTHER if name == "standard-webhooks" else "another"
    for key, content in ((secret, body + b" "), (secret, body[:-1]), (secret, b""), (other, body)):
        with pytest.raises(BadSignature, match="does not fit"):
            verify(FORMS[name], key, headers, content, now=now)
    for header in headers:
        without = {left: value for left, value in headers.items() if left != header}
        with pytest.raises(BadSignature, match="missing"):
            verify(FORMS[name], secret, without, body, now=now)
        with pytest.raises(BadSignature, match="ASCII"):
            verify(FORMS[name], secret, headers | {header: headers[header] + "é"}, body, now=now)


@pytest.mark.parametrize("name", TIMED)
def test_what_was_signed_too_long_ago_or_to_come_is_refused(name: str) -> None:
    secret, headers, body, signed = VECTORS[name]
    for now in (signed - 300, signed + 300):
        assert verify(FORMS[name], secret, headers, body, now=now)
    for now in (signed - 301, signed + 301):
        with pytest.raises(BadSignature, match="300 s"):
            verify(FORMS[name], secret, headers, body, now=now)
    assert verify(FORMS[name], secret, headers, body, now=signed + 301, tolerance=600)


@pytest.mark.parametrize("name", TIMED)
def test_the_time_cannot_be_changed_without_the_secret(name: str) -> None:
    secret, headers, body, signed = VECTORS[name]
    later = {header: text.replace(str(int(signed)), str(int(signed) + 900)) for header, text in headers.items()}
    assert later != headers
    with pytest.raises(BadSignature, match="does not fit"):
        verify(FORMS[name], secret, later, body, now=signed + 900)


@EVERY
def test_while_a_secret_is_being_changed_either_key_is_good(name: str) -> None:
    secret, headers, body, now = VECTORS[name]
    other = OTHER if name == "standard-webhooks" else "another"
    for both in (f"{other}\n{secret}", f"{secret}\n{other}\n"):
        assert verify(FORMS[name], both, headers, body, now=now)


@EVERY
def test_an_empty_secret_lets_nobody_in(name: str) -> None:
    _, headers, body, now = VECTORS[name]
    for empty in ("", "\n", "  \n "):
        with pytest.raises(PermanentError) as refused:
            verify(FORMS[name], empty, headers, body, now=now)
        assert refused.value.code == "bad_webhook_secret"


def test_stripe_and_the_standard_may_send_several_signatures_of_which_one_fits() -> None:
    secret, headers, body, now = VECTORS["stripe"]
    several = headers["Stripe-Signature"].replace("v1=", f"v1={'0' * 64},v1=")
    assert verify(FORMS["stripe"], secret, {"Stripe-Signature": several}, body, now=now)
    secret, headers, body, now = VECTORS["standard-webhooks"]
    several = f"v1a,x v1,{base64.b64encode(b'0' * 32).decode()} {headers['webhook-signature']}"
    assert verify(FORMS["standard-webhooks"], secret, headers | {"webhook-signature": several}, body, now=now)


def test_a_signature_of_another_scheme_is_none() -> None:
    secret, headers, body, now = VECTORS["stripe"]
    with pytest.raises(BadSignature):
        old = {"Stripe-Signature": headers["Stripe-Signature"].replace("v1=", "v0=")}
        verify(FORMS["stripe"], secret, old, body, now=now)


def test_thousands_of_signatures_are_not_even_looked_at() -> None:
    secret, _, body, now = VECTORS["stripe"]
    many = {"Stripe-Signature": f"t={int(now)}" + ",v1=00" * 1000}
    with pytest.raises(BadSignature, match="too many"):
        verify(FORMS["stripe"], secret, many, body, now=now)


@pytest.mark.parametrize("hash", ["sha1", "sha256", "sha384", "sha512"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_the_generic_form_takes_each_hash_and_encoding(hash: str, encoding: str) -> None:
    digest = hmac.new(b"key", b"body", hash).digest()
    text = digest.hex() if encoding == "hex" else base64.b64encode(digest).decode()
    form = Generic(header="X-Sig", hash=hash, encoding=encoding, prefix="sig:")  # type: ignore[arg-type]
    assert verify(form, "key", {"X-Sig": f"sig:{text}"}, b"body", now=0) == digest
    for bad in (text, f"sig:{text}0", f"sig:{text[:-4]}", f"sig: {text}", "sig:"):
        with pytest.raises(BadSignature):
            verify(form, "key", {"X-Sig": bad}, b"body", now=0)


def test_the_generic_form_may_sign_a_time_too() -> None:
    form = Generic(header="X-Sig", timestamp_header="X-Time")
    headers = {"X-Sig": hexed("key", b"1000.body"), "X-Time": "1000"}
    assert verify(form, "key", headers, b"body", now=1200)
    with pytest.raises(BadSignature, match="300 s"):
        verify(form, "key", headers, b"body", now=1400)
    for time in ("", "now", "1e3", "-1000", "\u0661\u0660", "1" * 13):
        with pytest.raises(BadSignature):
            verify(form, "key", headers | {"X-Time": time}, b"body", now=1000)


HEADERS = sorted({header for _, headers, _, _ in VECTORS.values() for header in headers} | {"X-Signature"})
TEXTS = st.text(st.characters(max_codepoint=255), max_size=200) | st.text(
    alphabet=string.hexdigits + "=,.v01t ", max_size=100
)

STEADY = settings(max_examples=60, derandomize=True, database=None, deadline=None)


@STEADY
@given(
    form=st.sampled_from([*FORMS.values(), GENERIC]),
    headers=st.dictionaries(st.sampled_from(HEADERS), TEXTS),
    body=st.binary(max_size=200),
    now=st.floats(min_value=0, max_value=4e9),
)
def test_whatever_is_sent_without_the_secret_is_refused_as_such(
    form: Form, headers: dict[str, str], body: bytes, now: float
) -> None:
    with pytest.raises(BadSignature):
        verify(form, STANDARD, headers, body, now=now)


@STEADY
@given(secret=st.text(st.characters(max_codepoint=600), min_size=1, max_size=50), body=st.binary(max_size=300))
def test_what_the_secrets_owner_signs_is_good_whatever_it_holds(secret: str, body: bytes) -> None:
    keys = [line for line in secret.splitlines() if line.strip()]
    if not keys:
        return
    digest = hmac.new(keys[-1].encode(), body, hashlib.sha256).hexdigest()
    assert verify(FORMS["github"], secret, {"X-Hub-Signature-256": f"sha256={digest}"}, body, now=0)
