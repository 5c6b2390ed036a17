"""Posting a message to an HTTP server, and what its answer means.

Private addresses are out of reach (`apps.tenancy.outbound`), redirects are not followed, the answer is read no further
than its beginning, and all of it takes no longer than `TIMEOUT`. What is kept of an answer or an error is without the
secrets that the request was made with.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Annotated, Final

import httpx2
from pydantic import AfterValidator

from apps.agents.config.references import REFERENCE
from apps.agents.errors import PermanentError, scrub
from apps.tenancy.outbound import AddressRefused, GuardedTransport
from apps.triggers.channels.base import Outcome
from hector_site import VERSION

TIMEOUT: Final = 15.0  # seconds for everything
CONNECT_TIMEOUT: Final = 5.0
KEPT: Final = 1000  # characters of the answer
LONGEST_ADDRESS: Final = 2000
READ: Final = KEPT + LONGEST_ADDRESS  # bytes of it: a secret that begins in what is kept must be known as one


def _is_address(text: str) -> str:
    if REFERENCE.search(text):  # looked at when it is known
        return text
    _checked(text)
    return text


def _checked(text: str) -> httpx2.URL:
    try:
        url = httpx2.URL(text)
    except httpx2.InvalidURL:
        url = httpx2.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo or len(text) > LONGEST_ADDRESS:
        raise ValueError("write an address like https://host/path")
    return url


Address = Annotated[str, AfterValidator(_is_address)]
"""An HTTP address in which references may stand."""


def as_address(text: str) -> httpx2.URL:
    """The address, its references resolved. Raises PermanentError, without it, if it is none."""
    try:
        return _checked(text.strip())
    except ValueError as error:
        raise PermanentError("bad_address", f"The channel's address cannot be used: {error}.") from None


def parts(url: httpx2.URL) -> list[str]:
    """What would give a secret address away."""
    return [part for part in (str(url), url.host, url.raw_path.decode()) if len(part) > 3]


async def post(url: httpx2.URL, body: bytes, headers: dict[str, str], *, secrets: Collection[str] = ()) -> Outcome:
    """Sends JSON. `secrets` must not be seen in what is kept."""
    headers = {"Content-Type": "application/json", "User-Agent": f"Hector/{VERSION}", **headers}
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            _client() as client,
            client.stream("POST", url, content=body, headers=headers) as response,
        ):
            return _judged(response, scrub(await _beginning(response), secrets)[:KEPT])
    except TimeoutError:
        return Outcome(f"No answer within {TIMEOUT:g} s; it may have got the message.")
    except AddressRefused as error:
        return Outcome(scrub(f"{error}.", secrets))
    except httpx2.RequestError as error:
        reason = str(error) or type(error).__name__
        return Outcome(scrub(f"The request failed: {reason}.", secrets))


def _client() -> httpx2.AsyncClient:
    timeout = httpx2.Timeout(None, connect=CONNECT_TIMEOUT)
    return httpx2.AsyncClient(transport=GuardedTransport(), timeout=timeout, trust_env=False)


async def _beginning(response: httpx2.Response) -> str:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= READ:
            break
    return bytes(body[:READ]).decode(errors="replace").replace("\0", "�")


def _judged(response: httpx2.Response, answer: str) -> Outcome:
    status = response.status_code
    if response.is_success:
        return Outcome(status=status, answer=answer)
    error = f"The receiver answered {status}."
    if response.is_redirect:
        error += " Redirects are not followed: write the address that it leads to."
    return Outcome(error, status, answer, _retry_after(response), gone=status == httpx2.codes.GONE)


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds, from `Retry-After` in either of its forms."""
    text = response.headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
