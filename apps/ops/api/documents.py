"""`/openapi.json` and `/docs`: the API's description of itself."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.renderers import TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from apps.tenancy.http.authentication import BearerAuthentication, ConsoleSession
from apps.tenancy.http.views import ApiView


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document; the same for everybody."""
    generator: Any = SchemaGenerator  # drf-spectacular is untyped
    return dict(generator().get_schema(request=None, public=True))


class OpenApi(ApiView):
    authentication_classes = [BearerAuthentication, ConsoleSession]

    @extend_schema(exclude=True)
    def get(self, request: Request) -> Response:
        return Response(document())


class Docs(SpectacularSwaggerSplitView, ApiView):
    """Swagger UI, from our own files; its script is a request of its own, as the pages' policy asks."""

    authentication_classes = [BearerAuthentication, ConsoleSession]
    permission_classes = ApiView.permission_classes
    renderer_classes = [TemplateHTMLRenderer]
    url_name = "openapi"
