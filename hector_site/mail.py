"""Django's mail settings from the URL of a mail server.

`smtp://user:password@host:587` asks for TLS before anything else is said (STARTTLS), `smtp://host:25?tls=off` does not;
`smtps://…` is TLS from the beginning. `console:` writes mails to standard output. Empty: there is no mail server.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

from hector_site.env import BadSetting

FORMS = "write smtp://user:password@host:587, smtps://user:password@host:465 or console:"
PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True)
class Mail:
    backend: str = ""  # empty: no mail can be sent
    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    starttls: bool = False
    tls: bool = False


def from_url(url: str) -> Mail:
    """Raises BadSetting, without the password, for a URL that cannot be used."""
    if not url:
        return Mail()
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadSetting(f"HECTOR_EMAIL_URL cannot be read: {FORMS}") from None
    if parts.scheme == "console":
        return Mail("django.core.mail.backends.console.EmailBackend")
    query = parse_qs(parts.query, keep_blank_values=True)
    if parts.scheme not in PORTS or not parts.hostname or query not in ({}, {"tls": ["off"]}):
        raise BadSetting(f"HECTOR_EMAIL_URL is no address of a mail server: {FORMS}")
    return Mail(
        "django.core.mail.backends.smtp.EmailBackend",
        parts.hostname,
        port or PORTS[parts.scheme],
        unquote(parts.username or ""),
        unquote(parts.password or ""),
        starttls=parts.scheme == "smtp" and not query,
        tls=parts.scheme == "smtps",
    )
