"""Serializers that take exactly what is documented: no unknown name, no text where a number belongs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

_MOST_UNKNOWN = 20  # are named; nobody needs to read more
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class Body(serializers.Serializer[Any]):
    """A request's body (or its query): names that are not fields are refused, together with all other faults."""

    unknown = "There is no such field."

    def to_internal_value(self, data: Any) -> Any:
        faults: dict[Any, Any] = {}
        if isinstance(data, Mapping):
            names = [name for name in data if name not in self.fields]
            faults = {name: [self.unknown] for name in names[:_MOST_UNKNOWN]}
        try:
            value = super().to_internal_value(data)
        except ValidationError as error:
            if not isinstance(error.detail, dict):
                raise
            faults |= error.detail
        if faults:
            raise ValidationError(faults)
        return value


class Query(Body):
    """The parameters of a list."""

    unknown = "There is no such parameter."


class Text(serializers.CharField):
    def __init__(self, **options: Any) -> None:
        super().__init__(trim_whitespace=False, **options)

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return data


class WholeNumber(serializers.IntegerField):
    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data


class Number(serializers.FloatField):
    def to_internal_value(self, data: Any) -> float:
        if type(data) not in (int, float) or not math.isfinite(data):
            self.fail("invalid")
        return float(data)


class Instant(serializers.DateTimeField):
    """An RFC 3339 time; without an offset it is UTC."""

    def to_internal_value(self, value: Any) -> datetime:
        if not isinstance(value, str):
            self.fail("invalid", format="RFC 3339, as in 2030-01-31T09:00:00Z")
        instant = super().to_internal_value(value)
        if not _EARLIEST <= instant < _LATEST:
            raise ValidationError("Must lie between the years 1970 and 9000.")
        return instant


class Several(serializers.MultipleChoiceField):
    """A parameter that may be given several times, or not at all."""

    def get_value(self, dictionary: Mapping[str, Any]) -> Any:
        return super().get_value(dictionary) if self.field_name in dictionary else serializers.empty


class Mapped(serializers.JSONField):
    """A JSON object."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise ValidationError("Must be a JSON object.")
        return data
