"""`/webhooks/APP/PATH`: who may come in, and what is answered.

An App that is suspended answers as one that is not there. An entry point that is paused says so (503) to those who have
its secret: they come again.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request

from apps.agents.config.references import resolver
from apps.agents.errors import PermanentError
from apps.tasks.api.waiting import client_socket, long_answers, rests_within
from apps.tasks.models import FINAL, Task, TaskStatus
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from apps.tenancy.errors import AppNotFound
from apps.tenancy.http.views import OpenView
from apps.tenancy.models import App
from apps.triggers.errors import BadSignature
from apps.triggers.webhooks import handshakes, receiving, routing
from apps.triggers.webhooks.arrivals import Arrival, Unreadable
from apps.triggers.webhooks.receiving import Received, Verdict
from apps.triggers.webhooks.routing import MethodNotTaken, NoWebhook, Route
from apps.triggers.webhooks.signatures import verify
from hector_site.problems import problem

log = structlog.get_logger(__name__)
RETRY_SECONDS = "30"


class _AnyAnswer(DefaultContentNegotiation):
    """What a sender says that it takes does not matter: it gets JSON."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class Webhook(OpenView):
    content_negotiation_class = _AnyAnswer
    default_response_headers: dict[str, str] = {}  # they say which methods the view has, not which the address takes

    @extend_schema(exclude=True)  # each address has a description of its own: what the App's document says
    def post(self, request: Request, app: str, path: str) -> HttpResponse:
        return _received(request._request, app, f"/{path}")

    get = put = patch = delete = post


def _received(request: HttpRequest, name: str, path: str) -> HttpResponse:
    with in_app(_active(name)) as app:
        try:
            route = routing.find(path, request.method or "", request.GET)
        except NoWebhook:
            raise Http404 from None
        except MethodNotTaken as error:
            return problem(405, str(error), headers={"Allow": ", ".join(error.methods)})
        try:
            arrival = Arrival.of_request(request, path)
        except Unreadable as error:
            return problem(400, _sentence(error))
        try:
            return _let_in(app, route, arrival, request)
        except BadSignature as error:
            receiving.refuse(route.entry_point, arrival, Verdict.UNVERIFIED, _sentence(error))
            return problem(401, _sentence(error), code=error.code, headers={"WWW-Authenticate": "HMAC"})
        except Unreadable as error:
            receiving.refuse(route.entry_point, arrival, Verdict.UNREADABLE, _sentence(error))
            return problem(400, _sentence(error), code=error.code)
        except PermanentError as error:  # of the secret, which somebody may put right: the sender comes again
            log.error("webhook_not_ready", entry_point=route.entry_point.name, error=error.message)
            return _later("This address is not ready to take anything yet.")


def _active(name: str) -> App:
    """Raises Http404."""
    try:
        app = lifecycle.get(name)
    except AppNotFound:
        raise Http404 from None
    if app.status != App.Status.ACTIVE:
        raise Http404
    return app


def _let_in(app: App, route: Route, arrival: Arrival, request: HttpRequest) -> HttpResponse:
    """Raises BadSignature, Unreadable, and PermanentError for a secret that cannot be used."""
    entry_point, spec, form = route.entry_point, route.spec, route.spec.form
    secret = resolver(app)(spec.secret) if form else ""
    answer = handshakes.in_address(spec, request.GET, form.keys(secret) if form else [])
    if answer is None:
        if arrival.method not in spec.methods:
            return problem(405, headers={"Allow": ", ".join(spec.methods)})
        digest = None
        if form is not None:
            now = time.time()
            digest = verify(form, secret, request.headers, arrival.body, now=now, tolerance=spec.tolerance)
        answer = handshakes.in_body(spec, arrival)
    if answer is not None:
        receiving.refuse(entry_point, arrival, Verdict.HANDSHAKE, "The sender asked whether this is the address.")
        return answer
    if entry_point.paused_at is not None:
        because = f": {entry_point.pause_reason}" if entry_point.pause_reason else ""
        receiving.refuse(entry_point, arrival, Verdict.PAUSED, f"The entry point is paused{because}.")
        return _later("This address takes nothing for now.")
    if spec.answer != "sync":
        return _accepted(receiving.receive(app, route, arrival, request.headers, digest))
    with long_answers().taken() as may_wait:
        if not may_wait:
            return _later("Too many wait for their results here.")
        received = receiving.receive(app, route, arrival, request.headers, digest)
        return _result(received, spec.timeout, request)


def _accepted(received: Received) -> HttpResponse:
    delivery = received.delivery
    if delivery.verdict == Verdict.REFUSED:
        detail = "No task could be made of it; the log of what came says why."
        return problem(422, detail, code="not_started", headers=_headers(received), delivery=str(delivery.pk))
    said = {"delivery": delivery.pk, "outcome": delivery.verdict, "reason": delivery.reason, "task": delivery.task}
    return JsonResponse(said, status=202 if delivery.task else 200, headers=_headers(received))


def _result(received: Received, seconds: float, request: HttpRequest) -> HttpResponse:
    delivery = received.delivery
    if delivery.task is None:
        return _accepted(received)
    rests_within(delivery.task, seconds, client_socket(request))
    task = Task.objects.filter(pk=delivery.task).only("status", "output", "error").first()
    id = str(delivery.task)
    if task is None:
        return problem(410, "The result is not kept any more.", headers=_headers(received), task=id)
    said = {"delivery": delivery.pk, "task": id, "status": task.status}
    if task.status in FINAL:
        error = {"code": task.error["code"]} if task.error else None
        return JsonResponse(said | {"output": task.output, "error": error}, headers=_headers(received))
    if task.status == TaskStatus.INPUT_REQUIRED:
        return JsonResponse(said, status=202, headers=_headers(received))
    late = f"The task has not ended within {seconds:g} s. It goes on."
    where = {"Location": reverse("task", args=[delivery.task])}
    return problem(504, late, code="not_finished", headers=_headers(received) | where, task=id)


def _headers(received: Received) -> dict[str, str]:
    return {"Idempotency-Replayed": "true"} if received.repeated else {}


def _later(detail: str) -> HttpResponse:
    return problem(503, detail, headers={"Retry-After": RETRY_SECONDS})


def _sentence(error: Exception) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
