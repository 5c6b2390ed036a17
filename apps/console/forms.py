"""The form for a new task, made from the agent's input schema; and that for an App's settings."""

from __future__ import annotations

from typing import Any

from django import forms

from apps.console.schema_fields import MISSING, JSONText, field_of
from apps.quotas.api import BadLimits, from_texts

PREFIX = "input_"


class TaskForm(forms.Form):
    """The fields that every new task has, after those of its input."""

    priority = forms.IntegerField(
        initial=0, min_value=-100, max_value=100, required=False, help_text="The higher, the sooner. 0 is normal."
    )
    session = forms.CharField(
        max_length=200,
        required=False,
        help_text="Tasks of one session share a conversation and a state. May stay empty.",
    )

    def __init__(self, *args: Any, schema: dict[str, Any] | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.from_schema = is_form(schema)
        common = dict(self.fields)
        self.fields.clear()
        if self.from_schema:
            assert schema is not None
            for name, part in schema["properties"].items():
                field = field_of(part, schema, required=name in schema.get("required", ()))
                field.label = (part.get("title") if isinstance(part, dict) else "") or _label(name)
                self.fields[PREFIX + name] = field
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
        _describe(self)

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
            if name.startswith(PREFIX) and value not in (MISSING, None, "", [])
        }


class AppSettings(forms.Form):
    """What an operator may change of an App."""

    display_name = forms.CharField(max_length=200, required=False, help_text="Shown in place of its name.")
    weight = forms.IntegerField(
        min_value=1, max_value=1000, help_text="Its share of the workers, against that of the other Apps."
    )
    max_concurrent = forms.IntegerField(
        label="At once",
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        help_text="How many of its tasks run at a time, on all hosts together. Empty: any number.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _describe(self)


class QueueLimit(forms.Form):
    """How many tasks the installation runs at a time."""

    max_concurrent = forms.IntegerField(
        label="At once",
        min_value=1,
        max_value=2**31 - 1,
        required=False,
        help_text="How many tasks of all Apps run at a time, on all hosts together. Empty: as many as fit.",
    )
    reason = forms.CharField(max_length=1000, required=False, help_text="Kept in the audit trail.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _describe(self)


class AppLimits(forms.Form):
    """What an App may use, a text for each resource."""

    requests = forms.CharField(required=False, max_length=500, help_text="To the API, as in 600/1m.")
    tasks = forms.CharField(required=False, max_length=500, help_text="Accepted, as in 100/1m, 5000/1d.")
    tokens = forms.CharField(
        required=False, max_length=500, help_text="Of models. At the end: :wait, :ask or :fail, as in 5000000/1d:wait."
    )
    cost_usd = forms.CharField(
        label="Dollars", required=False, max_length=500, help_text="That models cost, as in 20/1d:ask, 300/30d."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _describe(self)

    def clean(self) -> None:
        super().clean()
        try:
            self.limits = from_texts(self.cleaned_data)
        except BadLimits as error:
            for resource, fault in error.faults.items():
                self.add_error(resource, fault[:1].upper() + fault[1:])


def is_form(schema: dict[str, Any] | None) -> bool:
    """Whether a schema is an object of named properties, and so can be a form."""
    return bool(schema and isinstance(schema.get("properties"), dict) and schema["properties"])


def _describe(form: forms.Form) -> None:
    """Ties each field to its help, for those who hear the page."""
    for name, field in form.fields.items():
        if field.help_text:
            field.widget.attrs["aria-describedby"] = f"help_{name}"


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()
