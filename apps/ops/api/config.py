"""`/admin/apps/{name}/config`: the document in force, its revisions, and going back."""

from __future__ import annotations

import re
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from apps.agents.config import apply
from apps.agents.config.faults import ConfigInvalid
from apps.agents.models import Revision
from apps.ops.api.serializers import AppOut, ConfigBody, RevisionOut
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from apps.tenancy.http.body import StrictJSONParser, YAMLTextParser
from apps.tenancy.http.openapi import listed
from apps.tenancy.http.pagination import Order, PageQuery, page, whole_number
from apps.tenancy.http.problems import declare, invalid
from apps.tenancy.http.views import ApiView
from apps.tenancy.models import App

declare(apply.RevisionConflict, 409)
declare(apply.UnknownRevision, 404)

_NEWEST_FIRST = Order("number", whole_number)
_REVISION_TAG = re.compile(r'(?:W/)?"?(\d{1,9})"?')


def refused(error: ConfigInvalid, place: str = "") -> HttpResponse:
    """Every fault of a document that stands at `place` in the body."""
    return invalid(
        [
            {
                "pointer": place + fault.pointer,
                "detail": fault.detail if fault.line is None else f"Line {fault.line}: {fault.detail}",
            }
            for fault in error.faults
        ],
        code=error.code,
    )


class AppConfig(ApiView):
    parser_classes = [StrictJSONParser, YAMLTextParser]

    @extend_schema(
        operation_id="get_config",
        summary="The document in force",
        description="`ETag` is its revision. Secrets are references.",
        responses={200: {"type": "object", "additionalProperties": True}},
    )
    def get(self, request: Request, name: str) -> Response:
        app = lifecycle.get(name)
        revision = apply.current(app)
        number, document = (revision.number, revision.document) if revision else (0, apply.export(app))
        return Response(document, headers={"ETag": f'"{number}"'})

    @extend_schema(
        operation_id="put_config",
        summary="Replace the document",
        description="The body is the document itself (JSON or YAML), or an object with `config` and what goes with it. "
        "With `If-Match` (or `expected_revision`), 409 if it is not the newest revision.",
        parameters=[
            OpenApiParameter("If-Match", str, OpenApiParameter.HEADER, description="The revision that you saw.")
        ],
        request={"application/json": ConfigBody, "application/yaml": str},
        responses={200: AppOut},
    )
    def put(self, request: Request, name: str) -> HttpResponse:
        app = lifecycle.get(name)
        if not request.headers.get("Content-Length", "0").strip("0"):
            raise ParseError("Send the document.")  # an empty one would remove every agent
        document: Any = request.data
        place, comment, expected = "", "", _expected(request)
        if isinstance(document, dict) and "config" in document:
            body = self.body(ConfigBody)
            document, place, comment = body["config"], "/config", body["comment"]
            expected = body.get("expected_revision", expected)
        try:
            revision = apply.apply(app, document, by=self.caller.actor, comment=comment, expected_revision=expected)
        except ConfigInvalid as error:
            return refused(error, place)
        return _answer(app, revision)


def _expected(request: Request) -> int | None:
    tag = request.headers.get("If-Match", "*").strip()
    if tag == "*":
        return None
    match = _REVISION_TAG.fullmatch(tag)
    if match is None:
        raise ParseError("If-Match names a revision by its number.")
    return int(match[1])


def _answer(app: App, revision: Revision) -> Response:
    return Response(AppOut(app).data, headers={"ETag": f'"{revision.number}"'})


class Revisions(ApiView):
    @extend_schema(
        operation_id="list_revisions",
        summary="The revisions of the document, the newest first",
        parameters=[PageQuery],
        responses=listed(RevisionOut),
    )
    def get(self, request: Request, name: str) -> Response:
        with in_app(lifecycle.get(name)):
            shown = page(request, Revision.objects.all(), _NEWEST_FIRST, self.query(PageQuery))
            return shown.answer(RevisionOut)


class Rollback(ApiView):
    @extend_schema(
        operation_id="roll_back_config",
        summary="Put an earlier revision in force again, as a new one",
        request=None,
        responses={200: AppOut},
    )
    def post(self, request: Request, name: str, number: int) -> HttpResponse:
        app = lifecycle.get(name)
        if number >= 2**31:
            raise apply.UnknownRevision(f"There is no revision {number}.")
        try:
            return _answer(app, apply.rollback(app, number, by=self.caller.actor))
        except ConfigInvalid as error:
            return refused(error)
