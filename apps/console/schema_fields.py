"""Form fields made from a JSON Schema: one for each property of an object, JSON for whatever has no field of its own.

A field shows a value as text and reads text back as a value. What it reads is checked against the whole schema by
whoever uses it; the field itself refuses only what cannot be a value of its type at all. Schemas come from anywhere
(an MCP server, say), so nothing is taken for granted about them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from apps.tenancy.http.strict_json import read_json

MISSING: Any = object()  # no value at all, which is not null
_LONG_TEXT = 200  # a text that may be longer than this gets an area, not a line
_SCALARS = ("string", "integer", "number", "boolean")


def field_of(part: Any, root: Mapping[str, Any], *, required: bool = False, value: Any = MISSING) -> forms.Field:
    """The field for a property's schema, one that can show this value. `root` is the schema that `$ref` points into."""
    part = _plain(part, root)
    default = part.get("default")
    shown = value if value is not MISSING else MISSING if default is None else default
    common = {"help_text": str(part.get("description", "")), "required": required}
    field = _typed(part, root, common)
    if field is None or not (shown is MISSING or _fits(field, shown)):
        field = _json(common)
    if isinstance(field, forms.BooleanField) and required and shown is MISSING:
        field = ChoiceField({"yes": True, "no": False}, **common)  # a box that nobody has touched says no
    if shown is not MISSING:
        field.initial = field.shown(shown) if isinstance(field, _Shown) else shown
    elif isinstance(field, ChoiceField) and required:
        field.choices = [("", "(choose)"), *field.texts]  # nothing is chosen for anybody
    if isinstance(field.widget, forms.Textarea) and isinstance(field.initial, str):
        lines = sum(1 + len(line) // 90 for line in field.initial.splitlines())
        field.widget.attrs["rows"] = min(max(lines, 1), 12)
    return field


def _plain(part: Any, root: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without a local `$ref`, and without the `null` of something optional."""
    for _ in range(10):  # references may go round
        part = _object(part)
        reference, alternatives = part.get("$ref"), part.get("anyOf")
        if isinstance(reference, str) and reference.startswith("#/$defs/"):
            meant = _object(root.get("$defs")).get(reference.removeprefix("#/$defs/"))
        elif isinstance(alternatives, list) and len(alternatives) == 2 and {"type": "null"} in alternatives:
            meant = next(iter(one for one in alternatives if one != {"type": "null"}), None)
        else:
            return _object(part)
        part = {**_object(meant), **{name: part[name] for name in ("title", "description", "default") if name in part}}
    return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _typed(part: dict[str, Any], root: Mapping[str, Any], common: dict[str, Any]) -> forms.Field | None:
    """None for what has no field of its own."""
    if "enum" in part:
        return _choice(part["enum"], common)
    match _kind(part):
        case "string":
            longest = _bound(part, "maxLength")
            short = (longest is not None and longest <= _LONG_TEXT) or "format" in part
            return TextField(max_length=longest, short=short, **common)
        case "integer":
            return IntegerField(min_value=_bound(part, "minimum"), max_value=_bound(part, "maximum"), **common)
        case "number":
            return NumberField(min_value=_bound(part, "minimum"), max_value=_bound(part, "maximum"), **common)
        case "boolean":
            return forms.BooleanField(**{**common, "required": False})
        case "array":
            items = _plain(part.get("items"), root)
            if _kind(items) in _SCALARS and "enum" not in items:
                return LinesField(field_of(items, root, required=True), **common)
    return None


def _kind(part: dict[str, Any]) -> Any:
    """The one type that it has, beside null."""
    kinds = part.get("type")
    if not isinstance(kinds, list):
        return kinds
    others = [kind for kind in kinds if kind != "null"]
    return others[0] if len(others) == 1 else None


def _bound(part: dict[str, Any], name: str) -> Any:
    value = part.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _choice(values: Any, common: dict[str, Any]) -> forms.Field | None:
    """A choice by the text that stands for each value; None where two have the same."""
    if not isinstance(values, list) or any(isinstance(value, dict | list) for value in values):
        return None
    by_text = {value if isinstance(value, str) else json.dumps(value): value for value in values}
    return ChoiceField(by_text, **common) if len(by_text) == len(values) and "" not in by_text else None


def _json(common: dict[str, Any]) -> JSONText:
    return JSONText(
        widget=forms.Textarea(attrs={"rows": 4, "class": "code", "spellcheck": "false"}),
        **{**common, "help_text": f"{common['help_text']} Written as JSON.".strip()},
    )


def _fits(field: forms.Field, value: Any) -> bool:
    """Whether the field shows this value so that it is read back as what it is."""
    match field:
        case TextField():
            return isinstance(value, str)
        case IntegerField():
            return isinstance(value, int) and not isinstance(value, bool)
        case NumberField():
            return isinstance(value, int | float) and not isinstance(value, bool)
        case forms.BooleanField():
            return isinstance(value, bool)
        case ChoiceField():
            return any(_same(value, one) for one in field.by_text.values())
        case LinesField():
            return isinstance(value, list) and all(_is_line(item) and _fits(field.item, item) for item in value)
    return True


def _is_line(item: Any) -> bool:
    return not isinstance(item, str) or (item.strip() == item != "" and len(item.splitlines()) == 1)


def _same(one: Any, other: Any) -> bool:
    """As JSON: Python takes 1, 1.0 and True for equal."""
    return one is other or (MISSING not in (one, other) and json.dumps(one) == json.dumps(other))


# --- Fields -----------------------------------------------------------------------------------------------------------
class _Shown(forms.Field):
    """A field that shows values as text, and has changed if another value is read from it."""

    def shown(self, value: Any) -> Any:
        return json.dumps(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return not _same(self.to_python(initial), self.to_python(data))
        except ValidationError:
            return True


class TextField(_Shown, forms.CharField):
    """Text as it is. Browsers send every end of a line as CRLF; that alone changes nothing."""

    def __init__(self, *, short: bool = False, **options: Any) -> None:
        super().__init__(strip=False, widget=forms.TextInput() if short else forms.Textarea({"rows": 4}), **options)

    def shown(self, value: Any) -> Any:
        return value

    def to_python(self, value: Any) -> str:
        return "" if value is None else str(super().to_python(value)).replace("\r\n", "\n")


class IntegerField(_Shown, forms.IntegerField):
    pass


class NumberField(_Shown, forms.FloatField):
    """A number, a whole one where it is written so."""

    def to_python(self, value: Any) -> Any:
        number = super().to_python(value)
        text = str(value).strip()
        return int(text) if number is not None and text.lstrip("+-").isdecimal() else number


class ChoiceField(_Shown, forms.TypedChoiceField):
    def __init__(self, by_text: dict[str, Any], **options: Any) -> None:
        self.by_text = by_text
        self.texts = [(text, text) for text in by_text]
        choices = self.texts if options.get("required") else [("", "(none)"), *self.texts]
        super().__init__(choices=choices, coerce=by_text.__getitem__, empty_value=MISSING, **options)

    def shown(self, value: Any) -> Any:
        return next(text for text, one in self.by_text.items() if _same(one, value))


class LinesField(_Shown, forms.CharField):
    """A list of scalars, one on each line."""

    def __init__(self, item: forms.Field, **options: Any) -> None:
        self.item = item
        options["help_text"] = f"{options['help_text']} One on each line.".strip()
        super().__init__(widget=forms.Textarea({"rows": 4}), **options)

    def shown(self, value: Any) -> Any:
        return "\n".join(item if isinstance(item, str) else json.dumps(item) for item in value)

    def to_python(self, value: Any) -> Any:
        lines = [line.strip() for line in str(value or "").splitlines()]
        return [self._read(line) for line in lines if line]

    def _read(self, line: str) -> Any:
        if isinstance(self.item, forms.BooleanField):
            if line not in ("true", "false"):
                raise ValidationError(f"{line}: write true or false.", code="invalid")
            return line == "true"
        try:
            return self.item.clean(line)
        except ValidationError as error:
            raise ValidationError([f"{line}: {message}" for message in error.messages]) from None


class JSONText(_Shown, forms.CharField):
    """A value that is written as JSON; MISSING where nothing is."""

    widget = forms.Textarea

    def shown(self, value: Any) -> Any:
        return json.dumps(value, indent=2, ensure_ascii=False)

    def to_python(self, value: Any) -> Any:
        text = str(value or "").strip()
        if not text:
            return MISSING
        try:
            return read_json(text)
        except ValueError as error:
            raise ValidationError(f"This {error}.", code="invalid") from None

    def validate(self, value: Any) -> None:
        if self.required and value is MISSING:
            raise ValidationError(self.error_messages["required"], code="required")

    def run_validators(self, value: Any) -> None:
        """Those of a text are not about a value."""
