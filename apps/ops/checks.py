"""Settings that are valid one by one and make no sense together; each is one sentence that says what to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import Error, register, run_checks

from hector_site.env import BadSetting

TAG = "hector"
LEAST_STALE_THRESHOLD = 1.0  # seconds; a host reports four times within the threshold


@register(TAG)
def contradictions(**_: Any) -> list[Error]:
    initial, longest = settings.HECTOR_QUEUE_INITIAL_DELAY, settings.HECTOR_QUEUE_MAX_DELAY
    stale = settings.HECTOR_QUEUE_STALE_THRESHOLD
    issuer = [f"HECTOR_AUTH_{name}" for name in ("JWKS_URL", "ISSUER", "AUDIENCE", "APPS")]
    missing = [name for name in issuer if not getattr(settings, name)]
    faults = {
        "E001": initial > longest
        and f"HECTOR_QUEUE_INITIAL_DELAY is {initial:g}s and HECTOR_QUEUE_MAX_DELAY only {longest:g}s: the first wait "
        "cannot be longer than the longest",
        "E002": stale < LEAST_STALE_THRESHOLD
        and f"HECTOR_QUEUE_STALE_THRESHOLD is {stale:g}s: the least is {LEAST_STALE_THRESHOLD:g}s, or healthy hosts "
        "would lose their tasks to others",
        "E003": settings.HECTOR_GRACE <= 0 and "HECTOR_GRACE is 0s: say how long a stop may take, such as 30s",
        "E004": bool(missing and len(missing) < len(issuer))
        and f"{', '.join(missing)} is missing: tokens of another issuer need all of {', '.join(issuer)}",
        "E005": not _is_safe(settings.HECTOR_AUTH_JWKS_URL)
        and "HECTOR_AUTH_JWKS_URL has to begin with https://, or whoever is in between could hand out keys",
        "E006": not _is_address(settings.HECTOR_PUBLIC_URL)
        and "HECTOR_PUBLIC_URL is no address: write where people reach the console, like https://hector.example.com",
    }
    return [Error(fault, id=f"{TAG}.{number}") for number, fault in faults.items() if fault]


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment


def _is_safe(url: str) -> bool:
    """Whether nobody in between can change what is read there; this machine is trusted."""
    parts = urlsplit(url)
    return not url or parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1"))


def refuse_contradictions() -> None:
    """Raises BadSetting with the first fault."""
    for message in run_checks(tags=[TAG]):
        raise BadSetting(str(message.msg))
