"""`type: webhook`: the message as JSON, signed as Standard Webhooks has it (https://www.standardwebhooks.com).

`webhook-id` is the message's and the same in every attempt, `webhook-timestamp` the attempt's; `webhook-signature` is
`v1,` and the HMAC-SHA256 of `id.timestamp.body`. While a secret is being changed, the App's secret may hold both keys
with a space between them: each signs.
"""

from __future__ import annotations

import base64
import binascii
import json
from datetime import UTC, datetime
from typing import ClassVar, Literal

from standardwebhooks import Webhook

from apps.agents.config.references import REFERENCE
from apps.agents.errors import PermanentError
from apps.triggers.channels.base import ChannelType, NotificationSpec, Outcome, Outgoing
from apps.triggers.channels.base import register as register_type
from apps.triggers.channels.http import Address, as_address, parts, post

SHORTEST, LONGEST = 24, 64  # bytes of a key


class WebhookSpec(NotificationSpec):
    """A server that takes signed messages."""

    references: ClassVar[frozenset[str]] = frozenset({"url", "secret"})

    type: Literal["webhook"] = "webhook"
    """Signed JSON to an HTTP server."""
    url: Address
    """Where messages are posted."""
    secret: str
    """The key that signs them, as `${secret:NAME}`: `whsec_` and base64."""

    @property
    def target(self) -> str:
        return self.url


def keys(text: str) -> list[bytes]:
    """The keys in a secret's value. Raises PermanentError, without the value, if they are none."""
    found = []
    for key in text.split() or [""]:
        digits = key.removeprefix("whsec_")
        try:
            found.append(base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True))
        except binascii.Error:
            found.append(b"")
    if not all(SHORTEST <= len(key) <= LONGEST for key in found):
        raise PermanentError(
            "bad_webhook_secret",
            f"The webhook's secret is not `whsec_` and base64 of {SHORTEST} to {LONGEST} bytes.",
        )
    return found


def signatures(id: str, at: datetime, body: str, secret: str) -> str:
    return " ".join(Webhook(key).sign(id, at, body) for key in keys(secret))


async def send(out: Outgoing) -> Outcome:
    spec: WebhookSpec = out.spec
    url, secret = as_address(out.resolve(spec.url)), out.resolve(spec.secret)
    body = json.dumps(out.message, ensure_ascii=False, separators=(",", ":"))
    at = datetime.now(UTC)
    headers = {
        "webhook-id": str(out.id),
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": signatures(str(out.id), at, body, secret),
    }
    hidden = [*secret.split(), *(parts(url) if REFERENCE.search(spec.url) else [])]
    return await post(url, body.encode(), headers, secrets=hidden)


def register() -> None:
    register_type(ChannelType("webhook", WebhookSpec, send))
