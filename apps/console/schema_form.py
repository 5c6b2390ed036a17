"""A value as a form made from its JSON Schema, and what a person has made of it.

What was not touched stays exactly as it was, also where two values read alike: 5 and 5.0, nothing and null.
"""

from __future__ import annotations

from typing import Any

from django import forms

from apps.console.schema_fields import MISSING, JSONText, TextField, field_of

PREFIX = "value"


class SchemaForm(forms.Form):
    """A field for each property of an object, also for those that the schema does not name; else one for the whole.

    Names of properties may be anything, so fields are numbered. Without a value the form asks for one.
    """

    def __init__(self, data: Any = None, *, schema: Any, value: Any = MISSING, whole: str = "Value") -> None:
        super().__init__(data)
        self.original = value
        schema = schema if isinstance(schema, dict) else {}
        self.names = _names(schema, value)  # of the properties; none: one field for the whole value
        self.needed = {name for name in _list(schema.get("required")) if isinstance(name, str)}
        given = value if isinstance(value, dict) else {}
        for number, name in enumerate(self.names):
            part = _dict(schema.get("properties")).get(name)
            field = field_of(part, schema, required=name in self.needed, value=given.get(name, MISSING))
            self._add(f"{PREFIX}-{number}", name, field)
        if not self.names:
            self._add(PREFIX, whole, field_of(schema, schema, required=True, value=value))

    def _add(self, field_name: str, label: str, field: forms.Field) -> None:
        field.label = label
        if field.help_text:
            field.widget.attrs["aria-describedby"] = f"help_{field_name}"
        if self.names and isinstance(field, TextField):
            field.empty_values = []  # an empty text is a text; whether it will do, the schema says
        self.fields[field_name] = field

    def value(self) -> Any:
        """The value of a valid form."""
        if not self.names:
            return self._read(PREFIX) if self._is_wanted(PREFIX) else self.original
        value = dict(self.original) if isinstance(self.original, dict) else {}
        for number, name in enumerate(self.names):
            field_name = f"{PREFIX}-{number}"
            if not self._is_wanted(field_name):
                continue
            value[name] = self._read(field_name)
            if value[name] is MISSING or (value[name] in ("", []) and name not in self.needed):
                del value[name]
        return value

    def _is_wanted(self, field_name: str) -> bool:
        return self.original is MISSING or field_name in self.changed_data

    def _read(self, field_name: str) -> Any:
        value = self.cleaned_data[field_name]
        return MISSING if value is None and not isinstance(self.fields[field_name], JSONText) else value

    def refuse(self, faults: list[tuple[str, str]]) -> None:
        """Notes faults beside the fields that they are about: JSON pointers below one segment, with sentences."""
        for pointer, fault in faults:
            segments = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[2:]]
            known = bool(segments) and segments[0] in self.names
            whole = None if self.names else PREFIX
            self.add_error(f"{PREFIX}-{self.names.index(segments[0])}" if known else whole, fault)


def _names(schema: dict[str, Any], value: Any) -> list[str]:
    """The properties that the schema or the value has; none if either is no object."""
    if value is not MISSING and not isinstance(value, dict):
        return []
    return [*dict.fromkeys([*_dict(schema.get("properties")), *(value if isinstance(value, dict) else ())])]


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
