"""The form for a new task, made from the agent's input schema."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

_LONG_TEXT = 200  # a text that may be longer than this gets an area, not a line
PREFIX = "input_"


class JSONText(forms.CharField):
    """A value that is written as JSON."""

    widget = forms.Textarea

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValidationError(f"This is not JSON: {error}", code="invalid") from None


class TaskForm(forms.Form):
    """The fields that every new task has, after those of its input."""

    priority = forms.IntegerField(
        initial=0, min_value=-100, max_value=100, required=False, help_text="The higher, the sooner. 0 is normal."
    )
    session = forms.CharField(
        max_length=200, required=False, help_text="Tasks of one session are found together. May stay empty."
    )

    def __init__(self, *args: Any, schema: dict[str, Any] | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.from_schema = is_form(schema)
        common = dict(self.fields)
        self.fields.clear()
        if self.from_schema:
            assert schema is not None
            for name, part in schema["properties"].items():
                self.fields[PREFIX + name] = _field(name, part, required=name in schema.get("required", ()))
        elif schema:
            self.fields["input"] = JSONText(label="Input, as JSON", help_text="The agent's input schema checks it.")
        else:
            self.fields["input"] = forms.CharField(
                label="Input",
                widget=forms.Textarea(attrs={"rows": 8}),
                strip=False,
                help_text="What the agent is asked.",
            )
        self.fields.update(common)
        for name, field in self.fields.items():
            if field.help_text:
                field.widget.attrs["aria-describedby"] = f"help_{name}"

    @property
    def input_fields(self) -> list[forms.BoundField]:
        return [self[name] for name in self.fields if name == "input" or name.startswith(PREFIX)]

    @property
    def other_fields(self) -> list[forms.BoundField]:
        return [self["priority"], self["session"]]

    def input(self) -> Any:
        """The task's input; what was left empty is left out."""
        if not self.from_schema:
            return self.cleaned_data["input"]
        return {
            name.removeprefix(PREFIX): value
            for name, value in self.cleaned_data.items()
            if name.startswith(PREFIX) and value not in (None, "")
        }


def is_form(schema: dict[str, Any] | None) -> bool:
    """Whether a schema is an object of named properties, and so can be a form."""
    return bool(schema and isinstance(schema.get("properties"), dict) and schema["properties"])


def _field(name: str, part: Any, *, required: bool) -> forms.Field:
    part = part if isinstance(part, dict) else {}
    common: dict[str, Any] = {
        "label": part.get("title") or name.replace("_", " ").capitalize(),
        "help_text": part.get("description", ""),
        "initial": part.get("default"),
        "required": required,
    }
    choices = part.get("enum")
    if isinstance(choices, list) and all(isinstance(choice, str) for choice in choices):
        empty = [] if required else [("", "(none)")]
        return forms.ChoiceField(choices=[*empty, *((choice, choice) for choice in choices)], **common)
    match part.get("type"):
        case "string":
            longest = part.get("maxLength")
            short = name != "text" and ((longest is not None and longest <= _LONG_TEXT) or "format" in part)
            widget = forms.TextInput() if short else forms.Textarea(attrs={"rows": 4})
            return forms.CharField(max_length=longest, strip=False, widget=widget, **common)
        case "integer":
            return forms.IntegerField(min_value=part.get("minimum"), max_value=part.get("maximum"), **common)
        case "number":
            return forms.FloatField(min_value=part.get("minimum"), max_value=part.get("maximum"), **common)
        case "boolean":
            return forms.BooleanField(**{**common, "required": False})
    if common["initial"] is not None:
        common["initial"] = json.dumps(common["initial"], ensure_ascii=False)
    common["help_text"] = f"{common['help_text']} Written as JSON.".strip()
    return JSONText(widget=forms.Textarea(attrs={"rows": 4, "class": "code"}), **common)
