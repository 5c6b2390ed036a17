"""Webhooks: signed as the standard says, and what an answer means."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from apps.agents.errors import PermanentError
from apps.triggers.channels import http, webhook
from apps.triggers.channels.base import Outcome, Outgoing
from tests.support.http_server import Answer, LocalServer
from tests.triggers.conftest import SECRET

ID = UUID("0198a1b2-0000-7000-8000-000000000001")
MESSAGE = {
    "type": "dead_lettered",
    "app": "acme",
    "at": "2026-01-01T09:00:00Z",
    "data": {"agent": "größe", "link": "x"},
}
OTHER = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"


def sent(url: str, secret: str = SECRET, *, url_is_secret: bool = False, message: Any = MESSAGE) -> Outcome:
    values = {"${secret:HOOK}": secret, "${secret:URL}": url}
    written = "${secret:URL}" if url_is_secret else url
    spec = webhook.WebhookSpec(events=["dead_lettered"], url=written, secret="${secret:HOOK}")
    out = Outgoing(ID, spec, message, lambda text: values.get(text, text))
    return asyncio.run(webhook.send(out))


def test_the_signature_is_that_of_the_standards_example() -> None:
    at = datetime.fromtimestamp(1614265330, UTC)
    signed = webhook.signatures("msg_p5jXN8AQM9LWM0D4loKWxJek", at, '{"test": 2432232314}', SECRET)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_receiver_verifies_what_it_gets(receiver: LocalServer) -> None:
    outcome = sent(receiver.url + "/hook")
    assert outcome == Outcome(status=200, answer="thanks")
    [request] = receiver.requests
    assert (request.method, request.path) == ("POST", "/hook")
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == str(ID)
    assert Webhook(SECRET).verify(request.body, dict(request.headers)) == MESSAGE
    for changed in (request.body + b" ", request.body.replace(b"acme", b"evil")):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(changed, dict(request.headers))
    with pytest.raises(WebhookVerificationError):
        Webhook(OTHER).verify(request.body, dict(request.headers))


def test_while_a_secret_is_being_changed_both_keys_sign(receiver: LocalServer) -> None:
    sent(receiver.url, f"{OTHER} {SECRET}")
    for key in (SECRET, OTHER):
        Webhook(key).verify(receiver.requests[0].body, dict(receiver.requests[0].headers))


@pytest.mark.parametrize("secret", ["", " ", "a password", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64!", SECRET * 9])
def test_a_secret_that_is_no_key_is_refused_without_showing_it(secret: str, receiver: LocalServer) -> None:
    with pytest.raises(PermanentError) as refused:
        sent(receiver.url, secret)
    assert refused.value.code == "bad_webhook_secret"
    assert secret in ("", " ", "whsec_") or secret not in str(refused.value)
    assert receiver.requests == []


@pytest.mark.parametrize("status", [300, 302, 400, 404, 429, 500, 503])
def test_any_other_answer_than_success_is_a_failure_and_no_redirect_is_followed(
    status: int, receiver: LocalServer
) -> None:
    receiver.respond = lambda _: Answer(b"no", status, {"Location": receiver.url + "/elsewhere"})
    outcome = sent(receiver.url)
    assert (outcome.status, outcome.answer, outcome.gone) == (status, "no", False)
    assert f"answered {status}" in outcome.error
    assert len(receiver.requests) == 1


def test_a_receiver_that_is_gone_says_so(receiver: LocalServer) -> None:
    receiver.respond = lambda _: Answer(status=410)
    assert sent(receiver.url).gone


def test_retry_after_is_understood_in_both_forms(receiver: LocalServer) -> None:
    receiver.respond = lambda _: Answer(status=503, headers={"Retry-After": "120"})
    assert sent(receiver.url).retry_after == 120
    soon = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    receiver.respond = lambda _: Answer(status=503, headers={"Retry-After": soon})
    assert 500 < (sent(receiver.url).retry_after or 0) <= 600
    for nonsense in ("soon", "-5", "", "Wed, 21 Oct 2015 07:28:00 GMT"):
        receiver.respond = lambda _, text=nonsense: Answer(status=503, headers={"Retry-After": text})
        assert not sent(receiver.url).retry_after


def test_private_addresses_are_out_of_reach(receiver: LocalServer, settings: Any) -> None:
    settings.HECTOR_HTTP_ALLOW = []
    assert "may not reach" in sent(receiver.url).error
    assert receiver.requests == []


def test_a_receiver_that_does_not_answer_is_given_up(receiver: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "TIMEOUT", 0.2)
    receiver.respond = lambda _: None
    assert sent(receiver.url).error == "No answer within 0.2 s; it may have got the message."


def test_a_receiver_that_is_not_there_is_a_failure(receiver: LocalServer) -> None:
    receiver.__exit__(None, None, None)
    assert sent(receiver.url).error.startswith("The request failed:")


def test_only_the_beginning_of_an_answer_is_read(receiver: LocalServer) -> None:
    receiver.respond = lambda _: Answer(b"x" * 5_000_000 + b"end")
    assert sent(receiver.url).answer == "x" * http.KEPT


def test_what_is_kept_shows_neither_the_secret_nor_a_secret_address(receiver: LocalServer, settings: Any) -> None:
    receiver.respond = lambda request: Answer(f"{request.path} {SECRET}".encode(), 404)
    outcome = sent(receiver.url + "/services/T000/token", url_is_secret=True)
    assert outcome.answer == "[redacted] [redacted]"
    receiver.respond = lambda request: Answer(b"." * (http.KEPT - 9) + SECRET.encode(), 404)
    assert "whsec" not in sent(receiver.url).answer
    settings.HECTOR_HTTP_ALLOW = []
    assert sent(receiver.url, url_is_secret=True).error.startswith(
        "[redacted] is at [redacted], which Apps may not reach"
    )
    with pytest.raises(PermanentError) as refused:
        sent("ftp://user:password@host/", url_is_secret=True)
    assert "password" not in str(refused.value)


def test_what_is_sent_is_compact_json(receiver: LocalServer) -> None:
    sent(receiver.url)
    body = receiver.requests[0].body
    assert body == json.dumps(MESSAGE, ensure_ascii=False, separators=(",", ":")).encode()
