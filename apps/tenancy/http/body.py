"""Request bodies. Refused with 400: what is not UTF-8, and what `apps.tenancy.http.strict_json` does not take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser

from apps.tenancy.http.strict_json import read_json


class StrictJSONParser(BaseParser):
    media_type = "application/json"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return loads(read_text(stream))


class YAMLTextParser(BaseParser):
    """Leaves the text as it is: `apps.agents.config` reads it."""

    media_type = "application/yaml"

    def parse(
        self, stream: IO[bytes], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        return read_text(stream)


def read_text(stream: IO[bytes]) -> str:
    """The body. Raises RequestDataTooBig, however its length was announced, and ParseError."""
    raw = stream.read(settings.HECTOR_MAX_BODY + 1)
    if len(raw) > settings.HECTOR_MAX_BODY:
        raise RequestDataTooBig
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ParseError("The body is not UTF-8 text.") from None


def loads(text: str) -> Any:
    """Raises ParseError."""
    try:
        return read_json(text)
    except ValueError as error:
        raise ParseError(f"The body {error}.") from None
