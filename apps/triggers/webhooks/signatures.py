"""Whether a request was sent by somebody who has the secret: signatures in the forms that providers use.

Each form is an HMAC over the raw body, as it came and before anything reads it; most sign the time of sending with it,
which may then be no further from now than a tolerance. Digests are compared in constant time. A secret may hold several
keys while it is being changed, one on each line; a request that any of them has signed is good.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from apps.agents.errors import PermanentError
from apps.triggers.channels.webhook import keys as standard_keys
from apps.triggers.errors import BadSignature

TOLERANCE = 300.0  # seconds
Hash = Literal["sha1", "sha256", "sha384", "sha512"]
Encoding = Literal["hex", "base64"]
_TIME = re.compile(r"\d{1,12}", re.ASCII)
_MOST = 20  # signatures in one header

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Signed:
    """What a request says of itself."""

    prefix: str  # what is signed in front of the body
    digests: list[bytes]  # one of them has to be right
    at: int | None = None  # the second at which it was signed


class Form:
    """One way to sign. `id_header` and `id_field` (of a JSON object in the body) are where a delivery has its id."""

    hash: Hash = "sha256"
    id_header = ""
    id_field = ""

    def read(self, headers: Headers) -> Signed:
        """Raises BadSignature."""
        raise NotImplementedError

    def keys(self, secret: str) -> list[bytes]:
        """Raises PermanentError, without the secret, if it cannot be used."""
        found = [line.encode() for line in secret.splitlines() if line.strip()]
        if not found:
            raise PermanentError("bad_webhook_secret", "The secret is empty.")
        return found


class GitHub(Form):
    """`X-Hub-Signature-256: sha256=HEX` over the body."""

    id_header = "X-GitHub-Delivery"

    def read(self, headers: Headers) -> Signed:
        return Signed("", [_hex(_without("sha256=", _header(headers, "X-Hub-Signature-256")))])


class Stripe(Form):
    """`Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX]` over `SECONDS.BODY`."""

    id_field = "id"

    def read(self, headers: Headers) -> Signed:
        parts = [part.strip().partition("=") for part in _header(headers, "Stripe-Signature").split(",")]
        times = [value for name, _, value in parts if name == "t"]
        if len(times) != 1:
            raise BadSignature("the header Stripe-Signature does not say one time")
        digests = [_hex(value) for name, _, value in parts if name == "v1"]
        return Signed(f"{times[0]}.", digests, _time(times[0]))


class Slack(Form):
    """`X-Slack-Signature: v0=HEX` over `v0:SECONDS:BODY`, the seconds in `X-Slack-Request-Timestamp`."""

    id_field = "event_id"

    def read(self, headers: Headers) -> Signed:
        time = _header(headers, "X-Slack-Request-Timestamp")
        digest = _hex(_without("v0=", _header(headers, "X-Slack-Signature")))
        return Signed(f"v0:{time}:", [digest], _time(time))


class StandardWebhooks(Form):
    """`webhook-signature: v1,BASE64[ v1,BASE64]` over `ID.SECONDS.BODY` (https://www.standardwebhooks.com)."""

    id_header = "webhook-id"

    def read(self, headers: Headers) -> Signed:
        id, time = _header(headers, "webhook-id"), _header(headers, "webhook-timestamp")
        parts = [part.partition(",") for part in _header(headers, "webhook-signature").split(" ")]
        digests = [_base64(value) for version, _, value in parts if version == "v1"]
        return Signed(f"{id}.{time}.", digests, _time(time))

    def keys(self, secret: str) -> list[bytes]:
        return standard_keys(secret)


@dataclass(frozen=True)
class Generic(Form):
    """A header with a digest, as the configuration says it; with a header for the time, over `SECONDS.BODY`."""

    header: str
    hash: Hash = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    timestamp_header: str = ""

    def read(self, headers: Headers) -> Signed:
        text = _without(self.prefix, _header(headers, self.header))
        digest = _hex(text) if self.encoding == "hex" else _base64(text)
        if not self.timestamp_header:
            return Signed("", [digest])
        time = _header(headers, self.timestamp_header)
        return Signed(f"{time}.", [digest], _time(time))


FORMS: dict[str, Form] = {
    "github": GitHub(),
    "stripe": Stripe(),
    "slack": Slack(),
    "standard-webhooks": StandardWebhooks(),
}


def verify(
    form: Form, secret: str, headers: Headers, body: bytes, *, now: float, tolerance: float = TOLERANCE
) -> bytes:
    """The digest that was right, which is the request's own. Raises BadSignature, and PermanentError for the secret."""
    signed = form.read(headers)
    if len(signed.digests) > _MOST:
        raise BadSignature("there are too many signatures")
    content = signed.prefix.encode() + body
    right = b""
    for key in form.keys(secret):
        expected = hmac.digest(key, content, form.hash)
        for given in signed.digests:
            if hmac.compare_digest(expected, given):
                right = expected
    if not right:
        raise BadSignature("the signature does not fit the body and the secret")
    if signed.at is not None and abs(now - signed.at) > tolerance:
        raise BadSignature(f"it was signed more than {tolerance:g} s before or after now")
    return right


def _header(headers: Headers, name: str) -> str:
    text = headers.get(name, "")
    if not text:
        raise BadSignature(f"the header {name} is missing")
    if not text.isascii():
        raise BadSignature(f"the header {name} holds what is not ASCII")
    return text


def _without(prefix: str, text: str) -> str:
    if not text.startswith(prefix):
        raise BadSignature(f"the signature does not begin with {prefix}")
    return text.removeprefix(prefix)


def _time(text: str) -> int:
    if not _TIME.fullmatch(text):
        raise BadSignature("the time of signing is not a number of seconds")
    return int(text)


def _hex(text: str) -> bytes:
    try:
        return binascii.unhexlify(text)
    except ValueError:  # binascii.Error, or what is not ASCII
        raise BadSignature("the signature is not hexadecimal") from None


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise BadSignature("the signature is not base64") from None
