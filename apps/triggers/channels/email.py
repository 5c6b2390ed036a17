"""`type: email`: a plain text through the mail server of the installation (`HECTOR_EMAIL_URL`)."""

from __future__ import annotations

import smtplib
from typing import Annotated, Any, Literal

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage
from django.core.validators import validate_email
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from apps.agents.errors import PermanentError
from apps.agents.registry import STORED
from apps.agents.threads import in_thread
from apps.triggers import messages
from apps.triggers.channels.base import ChannelType, NotificationSpec, Outcome, Outgoing
from apps.triggers.channels.base import register as register_type

MOST = 20  # addresses of one channel


def _is_mailbox(text: str, info: ValidationInfo) -> str:
    try:
        validate_email(text)
    except ValidationError:
        raise ValueError("write an address like name@example.com") from None
    if info.context != STORED and (refused := _refused([text])):  # a stored one is looked at when a mail is sent
        raise ValueError(refused)
    return text


def _refused(to: list[str]) -> str:
    """Why the operator lets no mail go there; empty: it may."""
    allowed = {domain.lower() for domain in settings.HECTOR_EMAIL_DOMAINS}
    if not allowed or all(address.rpartition("@")[2].lower() in allowed for address in to):
        return ""
    return f"Mails go to addresses of {', '.join(sorted(allowed))} only (an operator sets HECTOR_EMAIL_DOMAINS)"


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class EmailSpec(NotificationSpec):
    """People who get a mail."""

    type: Literal["email"]
    """A mail."""
    to: Annotated[
        list[Annotated[str, AfterValidator(_is_mailbox)]],
        Field(min_length=1, max_length=MOST),
        BeforeValidator(_listed, json_schema_input_type=str | list[str]),
    ]
    """One address, or several."""

    @property
    def target(self) -> str:
        return ", ".join(self.to)


def mail(out: Outgoing) -> EmailMessage:
    about = messages.subject(out.message)
    text = [f"{label}: {value}" for label, value in messages.lines(out.message)]
    return EmailMessage(
        messages.one_line(f"[Hector {out.message['app']}] {about}")[:200],
        "\n".join([about, "", *text, "", out.message["data"]["link"], ""]),
        settings.DEFAULT_FROM_EMAIL,
        out.spec.to,
        # The same in every attempt: a mail server, or a reader's program, can tell that it has had it.
        headers={"Message-ID": f"<{out.id}@hector>", "Auto-Submitted": "auto-generated"},
    )


async def send(out: Outgoing) -> Outcome:
    if not settings.EMAIL_BACKEND:
        raise PermanentError("no_mail_server", "No mail server is set; an operator does it with HECTOR_EMAIL_URL.")
    if refused := _refused(out.spec.to):
        raise PermanentError("mail_refused", f"{refused}.")
    try:
        await in_thread(mail(out).send)
    except (OSError, smtplib.SMTPException) as error:  # OSError: the server cannot be reached, or does not answer
        return Outcome(f"The mail server did not take it: {error or type(error).__name__}.")
    return Outcome()


def register() -> None:
    register_type(ChannelType("email", EmailSpec, send, at_once=1))  # each takes a thread
