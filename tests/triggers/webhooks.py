"""Senders of webhooks, for tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

from django.test import Client

KEY = "a key for webhooks"
STANDARD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def digest(content: bytes, key: str = KEY) -> str:
    return hmac.new(key.encode(), content, hashlib.sha256).hexdigest()


def github(body: bytes, id: str = "", key: str = KEY) -> dict[str, str]:
    """What GitHub sends with a body."""
    return {"X-Hub-Signature-256": f"sha256={digest(body, key)}", **({"X-GitHub-Delivery": id} if id else {})}


def slack(body: bytes, at: float | None = None) -> dict[str, str]:
    second = str(int(time.time() if at is None else at))
    signed = digest(f"v0:{second}:".encode() + body)
    return {"X-Slack-Request-Timestamp": second, "X-Slack-Signature": f"v0={signed}"}


def stripe(body: bytes, at: float | None = None) -> dict[str, str]:
    second = str(int(time.time() if at is None else at))
    return {"Stripe-Signature": f"t={second},v1={digest(f'{second}.'.encode() + body)}"}


def standard(body: bytes, id: str, at: float | None = None) -> dict[str, str]:
    second = str(int(time.time() if at is None else at))
    signed = hmac.digest(base64.b64decode(STANDARD[6:]), f"{id}.{second}.".encode() + body, "sha256")
    signature = f"v1,{base64.b64encode(signed).decode()}"
    return {"webhook-id": id, "webhook-timestamp": second, "webhook-signature": signature}


def send(
    path: str, body: Any = b"", headers: dict[str, str] | None = None, *, method: str = "POST", app: str = "acme",
    content_type: str = "application/json",
) -> Any:  # fmt: skip
    """A request to a webhook of the App; what is not bytes is sent as JSON."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    client = Client(raise_request_exception=False)
    return client.generic(method, f"/webhooks/{app}{path}", raw, content_type=content_type, headers=headers or {})


def signed(path: str, body: Any, id: str = "", **options: Any) -> Any:
    """The same as GitHub sends it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return send(path, raw, github(raw, id), **options)
