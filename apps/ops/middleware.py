"""What holds for every request: id and log line, refusal while draining, the size of the body, the pages' policy."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from structlog.contextvars import bind_contextvars, clear_contextvars

from hector_site import drain
from hector_site.problems import problem

GetResponse = Callable[[HttpRequest], HttpResponseBase]
log = structlog.get_logger(__name__)
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestContext:
    """Gives each request an id (its `X-Request-ID` if that is sane), returned and in every log line; logs the request.

    An event stream is logged when its answer begins.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = time.perf_counter()
        given = request.headers.get("X-Request-ID", "")
        request_id = given if _SANE_ID.fullmatch(given) else uuid.uuid4().hex
        clear_contextvars()  # of the request that this thread served before
        bind_contextvars(request_id=request_id)
        response = self.get_response(request)
        response.headers["X-Request-ID"] = request_id
        write = log.debug if request.path.startswith((settings.STATIC_URL, "/health")) else log.info
        write(
            "request",
            method=request.method,
            path=request.path,
            status=response.status_code,
            ms=round((time.perf_counter() - began) * 1000, 1),
        )
        return response


class RefuseWhileDraining:
    """Once the process is asked to stop: 503, except for `/health`, which tells why."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if drain.draining() and not request.path.startswith("/health"):
            return problem(503, "This server is stopping; try again.", headers={"Retry-After": "5"})
        return self.get_response(request)


class BodyLimit:
    """Refuses a body over `HECTOR_MAX_BODY` before it is read, and one that does not tell its length."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            return problem(411, "Send a Content-Length instead of a chunked body.")
        try:
            length = int(request.headers.get("Content-Length") or 0)
        except ValueError:
            return problem(400, "The Content-Length is not a number.")
        if length > settings.HECTOR_MAX_BODY:
            return problem(413, f"The body is larger than {settings.HECTOR_MAX_BODY} bytes.")
        return self.get_response(request)


class ContentSecurityPolicy:
    """Pages load nothing from elsewhere and run no inline script.

    Unfold's Alpine.js evaluates expressions in attributes, hence `unsafe-eval` in the console; without inline scripts
    that needs an attribute of ours to inject into. A view may set a policy of its own.
    """

    EVERYWHERE = (
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; object-src 'none'; "
        "base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
    )
    CONSOLE = EVERYWHERE + "; script-src 'self' 'unsafe-eval'"

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if response.headers.get("Content-Type", "").startswith("text/html"):
            policy = self.CONSOLE if request.path.startswith(("/admin", "/approvals/")) else self.EVERYWHERE
            response.headers.setdefault("Content-Security-Policy", policy)
        return response
