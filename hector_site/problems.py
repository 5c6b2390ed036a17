"""Errors as RFC 9457 `application/problem+json`, for whatever answers outside of Django REST framework."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from django.http import JsonResponse

CONTENT_TYPE = "application/problem+json"


def problem(
    status: int, detail: str = "", *, errors: Sequence[dict[str, str]] = (), headers: dict[str, str] | None = None
) -> JsonResponse:
    """An error answer; `errors` are `{"pointer", "detail"}` each."""
    body: dict[str, object] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        body["detail"] = detail
    if errors:
        body["errors"] = list(errors)
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)
