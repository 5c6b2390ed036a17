"""Errors as RFC 9457 `application/problem+json`, for the API and for whatever answers outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from django.http import JsonResponse

CONTENT_TYPE = "application/problem+json"


def pointer(*parts: str | int) -> str:
    """The RFC 6901 JSON pointer of the value that is found by these keys and indexes."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def problem(
    status: int,
    detail: str = "",
    *,
    code: str = "",
    errors: Sequence[dict[str, str]] = (),
    headers: dict[str, str] | None = None,
    **more: str,
) -> JsonResponse:
    """An error answer; `errors` are `{"pointer", "detail"}` each, `code` tells apart what programs should; `more` is
    what else it says to programs."""
    title = HTTPStatus(status).phrase
    body = {
        "type": f"urn:hector:problem:{code}" if code else "about:blank",
        "title": title,
        "status": status,
        "detail": detail or f"{title}.",
        "errors": list(errors),
        **more,
    }
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)
