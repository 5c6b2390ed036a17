"""Chats and mails: what arrives there."""

from __future__ import annotations

import asyncio
import json
import smtplib
from typing import Any
from uuid import UUID

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from pydantic import ValidationError

from apps.agents.errors import PermanentError
from apps.agents.registry import STORED
from apps.triggers.channels import email, slack
from apps.triggers.channels.base import Outcome, Outgoing
from tests.support.http_server import Answer, LocalServer

ID = UUID("0198a1b2-0000-7000-8000-000000000001")
LINK = "https://hector.example/approvals/1/?app=acme"


def message(**data: Any) -> dict[str, Any]:
    facts = {"agent": "clerk", "tool": "deploy", "link": LINK} | data
    return {"type": "approval_requested", "app": "acme", "at": "2026-01-01T09:00:00Z", "data": facts}


def to_slack(url: str, content: dict[str, Any]) -> Outcome:
    spec = slack.SlackSpec(type="slack", events=["dead_lettered"], url="${secret:CHAT}")
    return asyncio.run(slack.send(Outgoing(ID, spec, content, lambda _: url)))


def to_mail(content: dict[str, Any], *to: str) -> Outcome:
    spec = email.EmailSpec(type="email", events=["dead_lettered"], to=list(to) or "anna@example.com")
    return asyncio.run(email.send(Outgoing(ID, spec, content, str)))


def test_a_chat_gets_a_text_and_a_button(receiver: LocalServer) -> None:
    assert not to_slack(receiver.url + "/services/T/B/X", message()).error
    posted = json.loads(receiver.requests[0].body)
    assert posted["text"] == f"clerk asks for a decision about deploy\n<{LINK}|Open in Hector>"
    section, actions = posted["blocks"]
    assert "*Agent*: clerk" in section["text"]["text"]
    assert actions["elements"][0]["url"] == LINK


def test_nothing_that_an_agent_says_means_anything_to_the_chat(receiver: LocalServer) -> None:
    to_slack(receiver.url, message(agent="<!channel> & <https://evil|click>", reason="<@U1>"))
    posted = receiver.requests[0].body.decode().replace(f"<{LINK}|Open in Hector>", "")
    assert "<" not in posted and "&lt;!channel&gt; &amp; &lt;https://evil|click&gt;" in posted
    assert json.loads(posted)["blocks"][0]["text"]["verbatim"], "a bare address would become a link"


def test_a_long_text_fits_into_a_section(receiver: LocalServer) -> None:
    to_slack(receiver.url, message(reason="&" * 10_000))
    assert len(json.loads(receiver.requests[0].body)["blocks"][0]["text"]["text"]) <= 3000


def test_a_chats_secret_address_is_not_kept(receiver: LocalServer) -> None:
    receiver.respond = lambda request: Answer(f"no_service {request.path}".encode(), 404)
    assert to_slack(receiver.url + "/services/T000/token", message()).answer == "no_service [redacted]"


def test_a_mail_says_what_it_is_about_and_leads_there() -> None:
    assert to_mail(message(reason="it is\nlate"), "anna@example.com", "bob@example.com") == Outcome()
    [sent] = mail.outbox
    assert sent.to == ["anna@example.com", "bob@example.com"]
    assert sent.subject == "[Hector acme] clerk asks for a decision about deploy"
    assert LINK in sent.body and "Tool: deploy" in sent.body
    assert sent.extra_headers["Message-ID"] == f"<{ID}@hector>"


def test_a_line_break_in_a_name_does_not_add_a_header() -> None:
    to_mail(message(agent="clerk\r\nBcc: everybody@example.com\0"))
    assert mail.outbox[0].message()["Bcc"] is None
    assert mail.outbox[0].subject.startswith("[Hector acme] clerk Bcc: everybody@example.com asks for")


def test_what_somebody_writes_does_not_pass_for_what_hector_says() -> None:
    to_mail(message(comment="fine\r\nBy: the board\u2028Decision: approve", actor="user:anna"))
    assert [line for line in mail.outbox[0].body.splitlines() if line.startswith(("By:", "Decision:"))] == [
        "By: user:anna"
    ]


def test_mails_go_only_to_the_domains_that_the_operator_allows(settings: Any) -> None:
    settings.HECTOR_EMAIL_DOMAINS = ["Example.com"]
    assert to_mail(message(), "anna@EXAMPLE.com") == Outcome()
    for stranger in ("anna@mail.example.com", "anna@example.com.evil.org", '"@example.com"@evil.org'):
        with pytest.raises(ValidationError, match="HECTOR_EMAIL_DOMAINS"):
            to_mail(message(), "anna@example.com", stranger)
    stored = {"type": "email", "events": ["dead_lettered"], "to": ["anna@evil.org"]}  # applied before that was set
    spec = email.EmailSpec.model_validate(stored, context=STORED)
    with pytest.raises(PermanentError, match="HECTOR_EMAIL_DOMAINS"):
        asyncio.run(email.send(Outgoing(ID, spec, message(), str)))
    assert len(mail.outbox) == 1


def test_a_mail_server_that_refuses_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: EmailMessage) -> int:
        raise smtplib.SMTPServerDisconnected("try later")

    monkeypatch.setattr(EmailMessage, "send", refuse)
    assert to_mail(message()).error == "The mail server did not take it: try later."


def test_without_a_mail_server_no_mail_counts_as_sent(settings: Any) -> None:
    settings.EMAIL_BACKEND = ""
    with pytest.raises(PermanentError, match="HECTOR_EMAIL_URL"):
        to_mail(message())
