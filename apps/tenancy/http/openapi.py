"""What drf-spectacular cannot read from the views: credentials, the form of lists, and the problems."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import get_lib_doc_excludes
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers

from apps.tenancy.http.fields import Body
from apps.tenancy.http.views import AppView, OpenView

APP_PARAMETER = OpenApiParameter(
    "X-Hector-App",
    str,
    OpenApiParameter.HEADER,
    description="The App, for an operator (`default` if left out). A token's App cannot be changed.",
)
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457.",
    "required": ["type", "title", "status", "detail", "errors"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["pointer", "detail"],
                "properties": {"pointer": {"type": "string"}, "detail": {"type": "string"}},
            },
        },
    },
}


def undescribed() -> list[type]:
    """The base classes whose docstrings are for those who write views, and describe no operation and no body."""
    theirs: list[type] = get_lib_doc_excludes()  # type: ignore[no-untyped-call]  # the library has no types here
    return [*theirs, AppView, OpenView, Body]


class Schema(AutoSchema):
    """Knows that every operation inside an App takes the header that names one."""

    def get_override_parameters(self) -> list[Any]:
        return [APP_PARAMETER] if isinstance(self.view, AppView) else []


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # its registry has no types
    target_class = "apps.tenancy.http.authentication.BearerAuthentication"
    name = "bearer"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "The operator secret, or an App's token."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # nor here
    target_class = "apps.tenancy.http.authentication.ConsoleSession"
    name = "console"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid", "description": "The console's session."}


@cache
def listed(item: type[serializers.BaseSerializer[Any]]) -> dict[int, Any]:
    """The answer of a list of these."""
    name = item.__name__.removesuffix("Out").removesuffix("ForOperators")
    return {
        200: inline_serializer(
            f"{name}List",
            {
                "results": item(many=True),
                "next": _link(),
                "previous": _link(),
            },
        )
    }


def _link() -> serializers.URLField:
    return serializers.URLField(allow_null=True, help_text="null: there is no such page.")


def add_problems(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """A post-processing hook: any operation may answer with a problem."""
    result["components"]["schemas"]["Problem"] = _PROBLEM
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"] |= {
                "4XX": {"description": "The request was refused; nothing was done.", "content": content},
                "503": {"description": "Try again after `Retry-After` seconds.", "content": content},
            }
    return result
