"""Answers to what no view handled: problem+json, or a page where a browser asked the console. Never a stack trace."""

from __future__ import annotations

import sys

from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views import defaults

from apps.tenancy.errors import is_database_away
from apps.tenancy.http.problems import RETRY_SECONDS
from hector_site.problems import problem

PAGES = ("/admin", "/approvals")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return problem(413, "The body is too large.")
    return defaults.bad_request(request, exception) if _wants_page(request) else problem(400)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return defaults.permission_denied(request, exception) if _wants_page(request) else problem(403)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if _wants_page(request):
        return defaults.page_not_found(request, exception)
    return problem(404, "There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Called while the exception is being handled."""
    if _wants_page(request):
        if is_database_away(sys.exc_info()[1]):
            return _try_again()
        return defaults.server_error(request)
    return problem(500, "Something went wrong here. The log has it under this answer's X-Request-ID.")


def _try_again() -> HttpResponse:
    """The database is away, cut off or full. Whether what somebody did was kept is not known then."""
    answer = HttpResponse(loader.render_to_string("503.html"), status=503)
    answer["Retry-After"] = RETRY_SECONDS
    return answer


def _wants_page(request: HttpRequest) -> bool:
    return request.path.startswith(PAGES) and "text/html" in request.headers.get("Accept", "")
