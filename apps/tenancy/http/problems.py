"""What goes wrong, as RFC 9457 problem+json.

An app declares what its own exceptions mean, next to its views: `declare(IllegalTransition, 409)`. What nobody
declared is a fault of ours: it is logged, and answered with a bare 500 (`apps.ops.errors`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.core.exceptions import RequestDataTooBig
from django.db import DatabaseError, InterfaceError
from django.http import Http404, HttpResponse, UnreadablePostError
from rest_framework.exceptions import APIException, ErrorDetail, ValidationError

from apps.accounts import issuers
from apps.tenancy import errors
from hector_site.problems import pointer, problem

log = structlog.get_logger(__name__)
Fault = dict[str, str]  # {"pointer", "detail"}
Translator = Callable[[Any], HttpResponse | None]  # None: a fault of ours after all
RETRY_SECONDS = "5"

_declared: dict[type[Exception], Translator] = {}


def declare(error: type[Exception], status: int, *, pointer: str | None = None) -> None:
    """Says that `error` is answered with `status` and its own text; `pointer` names what in the body is at fault."""

    def translate(raised: Exception) -> HttpResponse:
        faults = [] if pointer is None else [{"pointer": pointer, "detail": str(raised)}]
        return problem(status, str(raised), code=getattr(raised, "code", ""), errors=faults)

    declare_translator(error, translate)


def declare_translator(error: type[Exception], translator: Translator) -> None:
    _declared[error] = translator


def handle(error: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """Django REST framework's EXCEPTION_HANDLER. None: not for us, and so a 500."""
    for kind in type(error).__mro__:
        if (translator := _declared.get(kind)) is not None:
            return translator(error)
    return None


def invalid(faults: list[Fault], *, code: str = "") -> HttpResponse:
    detail = faults[0]["detail"] if len(faults) == 1 else f"The request has {len(faults)} faults."
    return problem(400, detail, code=code, errors=faults)


def _of_validation(error: ValidationError) -> HttpResponse:
    return invalid(list(_faults(error.detail, "")))


def _faults(detail: Any, place: str) -> Iterator[Fault]:
    if isinstance(detail, ErrorDetail | str):
        yield {"pointer": place, "detail": str(detail)}
    elif isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _faults(inner, place if name == "non_field_errors" else place + pointer(name))
    else:
        for inner in detail:
            yield from _faults(inner, place)


def _of_api(error: APIException) -> HttpResponse:
    headers = {}
    if challenge := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    return problem(error.status_code, str(error.detail), headers=headers)


def _of_database(error: Exception) -> HttpResponse | None:
    if not errors.is_database_away(error):
        return None
    log.warning("database_unavailable", error=str(error))
    return problem(503, "The database does not answer; try again.", headers={"Retry-After": RETRY_SECONDS})


declare_translator(ValidationError, _of_validation)
declare_translator(APIException, _of_api)
declare_translator(DatabaseError, _of_database)
declare_translator(InterfaceError, _of_database)
declare_translator(Http404, lambda error: problem(404, "There is no such object."))
declare_translator(DjangoPermissionDenied, lambda error: problem(403))
declare_translator(RequestDataTooBig, lambda error: problem(413, "The body is too large."))
declare_translator(UnreadablePostError, lambda error: problem(400, "The body ended too soon."))
declare(errors.AppNotFound, 404)
declare(errors.AppExists, 409, pointer="/name")
declare(errors.AppProtected, 403)
declare(errors.NoAppOfToken, 403)
declare(issuers.IssuerNotAllowed, 403)
declare_translator(
    issuers.IssuerUnavailable,
    lambda error: problem(503, str(error), code=error.code, headers={"Retry-After": RETRY_SECONDS}),
)
declare(errors.AppNotActive, 403)
declare(errors.BadAppName, 400, pointer="/name")
declare(errors.BadSecretName, 400)
declare_translator(errors.SchemaMissing, lambda error: problem(404, "The App does not exist any more."))
