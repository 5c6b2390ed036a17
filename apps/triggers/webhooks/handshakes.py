"""Questions whether an address is the right one, which senders ask before they send anything.

Slack asks in a signed body. Others (Meta, Dropbox, Microsoft Graph) put a text into the address that has to come back,
some with a token that proves who asks; which parameters these are, the document says (`challenge`, `challenge_token`).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping

from django.http import HttpResponse, JsonResponse

from apps.triggers.errors import BadSignature
from apps.triggers.starters.webhook import WebhookSpec
from apps.triggers.webhooks.arrivals import Arrival

LONGEST = 2000  # characters that are said back


def in_address(spec: WebhookSpec, query: Mapping[str, str], keys: list[bytes]) -> HttpResponse | None:
    """The answer to a question in the address; None: it asks nothing. Raises BadSignature for a wrong token.

    `keys` are those of the secret, one of which the token has to be.
    """
    text = query.get(spec.challenge, "") if spec.challenge else ""
    if not text:
        return None
    if len(text) > LONGEST:
        raise BadSignature(f"the challenge has more than {LONGEST} characters")
    if spec.challenge_token:
        token = query.get(spec.challenge_token, "").encode()
        if not any(hmac.compare_digest(token, key) for key in keys):
            raise BadSignature(f"the parameter {spec.challenge_token} does not hold the secret")
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=headers)


def in_body(spec: WebhookSpec, arrival: Arrival) -> HttpResponse | None:
    """The answer to Slack's question, whose signature is good; None: it asks nothing. Raises Unreadable."""
    if spec.public or spec.signature != "slack":
        return None
    body = arrival.read()
    if not isinstance(body, dict) or body.get("type") != "url_verification":
        return None
    challenge = body.get("challenge")
    return JsonResponse({"challenge": challenge[:LONGEST] if isinstance(challenge, str) else ""})
