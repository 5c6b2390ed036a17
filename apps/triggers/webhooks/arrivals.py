"""What a request holds: as templates see it, and as it is kept. Credentials are in neither."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from django.http import HttpRequest, QueryDict

from apps.tenancy.http.strict_json import read_json
from apps.triggers.models import WebhookDelivery

MASK = "***"
_CREDENTIAL = re.compile(
    r"(?i)authorization|cookie|token|secret|passw|signature|credential|api[-_]?key|(?:^|[-_])(?:auth|sig|key)$"
)
_MOST_FIELDS = 1000  # of a form
_LONGEST_KEY = 200


class Unreadable(Exception):
    """What the request holds is not what it says that it is."""

    code = "unreadable"


@dataclass(frozen=True)
class Arrival:
    """A request. `query` has a list where a parameter stands several times, `headers` their names in small letters."""

    method: str
    path: str  # behind /webhooks/APP
    query: Mapping[str, Any]
    headers: Mapping[str, str]
    content_type: str
    body: bytes

    @classmethod
    def of_request(cls, request: HttpRequest, path: str) -> Arrival:
        """Raises Unreadable for what cannot be kept."""
        query = _by_name([(name, value) for name, values in request.GET.lists() for value in values])
        headers = {name.lower(): value for name, value in request.headers.items()}
        if any("\0" in text for text in (path, *request.GET, *_texts(request.GET))):
            raise Unreadable("the address holds a NUL character")
        return cls(request.method or "", path, masked(query), masked(headers), request.content_type or "", request.body)

    @classmethod
    def of_delivery(cls, delivery: WebhookDelivery) -> Arrival:
        """As it was when it came."""
        return cls(
            delivery.method, delivery.path, delivery.query, delivery.headers, delivery.content_type,
            bytes(delivery.body or b""),
        )  # fmt: skip

    def data(self, parameters: Mapping[str, str]) -> dict[str, Any]:
        """What templates may use. `input` is the task's where there is no template. Raises Unreadable."""
        body = self.read()
        return {
            "body": body, "headers": self.headers, "query": self.query, "path": parameters, "method": self.method,
            "input": body if isinstance(body, str | dict) else {"body": body},
        }  # fmt: skip

    def read(self) -> Any:
        """The body: JSON and forms as what they say, other text as text; None: there is none. Raises Unreadable."""
        if not self.body:
            return None
        try:
            text = self.body.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Unreadable("the body is not UTF-8 text") from None
        if self.content_type == "application/json" or self.content_type.endswith("+json"):
            return _json(text)
        if self.content_type == "application/x-www-form-urlencoded":
            return _form(text)
        if "\0" in text:
            raise Unreadable("the body holds a NUL character")
        return text


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same without the values of what is called as credentials are."""
    return {name: MASK if _CREDENTIAL.search(name) else value for name, value in values.items()}


def as_key(text: str) -> str:
    """What tells a delivery from others, in a length that can be kept."""
    plain = len(text) <= _LONGEST_KEY and "\0" not in text
    return text if plain else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _json(text: str) -> Any:
    try:
        return read_json(text)
    except ValueError as error:
        raise Unreadable(f"the body {error}") from None


def _form(text: str) -> dict[str, Any]:
    """A form; one that only wraps JSON in a field `payload`, as GitHub and Slack do, is that JSON."""
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError:  # also of bytes that are no text
        raise Unreadable(f"the body is no form, or one of more than {_MOST_FIELDS} fields") from None
    if any("\0" in part for pair in fields for part in pair):
        raise Unreadable("the body holds a NUL character")
    form = _by_name(fields)
    payload = form.get("payload")
    if len(form) == 1 and isinstance(payload, str) and payload.startswith("{"):
        found: dict[str, Any] = _json(payload)
        return found
    return form


def _by_name(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _texts(query: QueryDict) -> list[str]:
    return [value for _, values in query.lists() for value in values]
