"""Serializers that take exactly what is documented: no unknown name, no text where a number belongs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from hector_site.env import parse_duration

_MOST_UNKNOWN = 20  # are named; nobody needs to read more
TEN_YEARS = 10 * 366 * 86400  # seconds
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


class OptionalText(Text):
    """A text that may be left out, and is empty then."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"required": False, "default": "", "allow_blank": True} | options)


class Reason(OptionalText):
    """Why somebody does something; kept with what they did."""

    def __init__(self) -> None:
        super().__init__(max_length=1000)


@extend_schema_serializer(component_name="Reason")
class ReasonBody(Body):
    reason = Reason()


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


@extend_schema_field({"oneOf": [{"type": "number", "minimum": 0}, {"type": "string"}]})
class Duration(serializers.Field):  # type: ignore[type-arg]  # DRF's class takes no type arguments at run time
    """A length of time, at most ten years: a number of seconds, or text such as `5m`."""

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float | str):
            raise ValidationError("Must be a number of seconds, or text such as 30s, 5m, 2h or 1d.")
        try:
            seconds = parse_duration(data) if isinstance(data, str) else float(data)
        except ValueError as error:
            raise ValidationError(f"{error}.") from None
        if not 0 <= seconds <= TEN_YEARS:
            raise ValidationError("Must be at least 0 seconds and at most ten years.")
        return seconds


@extend_schema_field({"oneOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]})
class Period(Duration):
    """A length of time that is more than none."""

    def to_internal_value(self, data: Any) -> float:
        if not (seconds := super().to_internal_value(data)):
            raise ValidationError("Must be more than 0 seconds.")
        return seconds


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
