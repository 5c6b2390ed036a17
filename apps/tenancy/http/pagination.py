"""Lists by cursor: `{"results", "next", "previous"}`.

A cursor names the row where a page ends, so pages neither repeat nor skip rows while others come and go, and a page
deep in a list of millions costs what the first one does. Nothing is ever counted.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from apps.tenancy.http.fields import Query

Row = TypeVar("Row", bound=Model)
PAGE = 50
LONGEST_PAGE = 200


class PageQuery(Query):
    """What every list takes."""

    limit = serializers.IntegerField(
        required=False, default=PAGE, min_value=1, max_value=LONGEST_PAGE, help_text="The most results of this page."
    )
    cursor = serializers.CharField(
        required=False, max_length=500, help_text="Where the page starts: taken from `next` or `previous`."
    )


@dataclass(frozen=True)
class Order:
    """The unique field that a list is ordered by, and how its value is read from a cursor."""

    field: str
    parse: Callable[[str], Any]
    newest_first: bool = True


def whole_number(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError(text)
    return number


BY_UUID = Order("pk", UUID)
BY_ID = Order("pk", whole_number)


@dataclass(frozen=True)
class Page(Generic[Row]):
    rows: list[Row]
    next: str | None
    previous: str | None

    def answer(self, shape: type[serializers.BaseSerializer[Any]]) -> Response:
        results = shape(self.rows, many=True).data
        return Response({"results": results, "next": self.next, "previous": self.previous})


def page(request: Request, rows: QuerySet[Row], order: Order, query: dict[str, Any]) -> Page[Row]:
    """The page that the (checked) query asks for. Raises ValidationError for a cursor that is none of ours."""
    limit: int = query["limit"]
    backwards, position = _decode(query["cursor"], order) if query.get("cursor") else (False, None)
    if backwards:
        found = list(_after(rows, order, position, backwards=True)[: limit + 1])
        if found:
            more, found = len(found) > limit, found[:limit][::-1]
            return Page(found, _link(request, order, found[-1]), _link(request, order, found[0], "p") if more else None)
        position = None  # there is nothing before it: that is where the list begins
    found = list(_after(rows, order, position)[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    return Page(
        found,
        _link(request, order, found[-1]) if more else None,
        _link(request, order, found[0], "p") if found and position is not None else None,
    )


def _after(rows: QuerySet[Row], order: Order, position: Any, *, backwards: bool = False) -> QuerySet[Row]:
    descending = order.newest_first != backwards
    if position is not None:
        rows = rows.filter(**{f"{order.field}__{'lt' if descending else 'gt'}": position})
    return rows.order_by(f"{'-' if descending else ''}{order.field}")


def _link(request: Request, order: Order, row: Model, direction: str = "n") -> str:
    text = f"{direction}{getattr(row, order.field)}"
    cursor = base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")
    return replace_query_param(request.build_absolute_uri(), "cursor", cursor)


def _decode(cursor: str, order: Order) -> tuple[bool, Any]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        if text[:1] not in ("n", "p"):
            raise ValueError(text)
        return text[0] == "p", order.parse(text[1:])
    except (ValueError, binascii.Error):
        raise ValidationError({"cursor": "This cursor is not one that this list has given."}) from None
