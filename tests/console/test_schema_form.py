"""Values as forms: each kind of field, what stays exactly as it was, and what is refused where."""

from __future__ import annotations

import html
from typing import Any

import pytest
from django.http import QueryDict

from apps.console.schema_fields import MISSING, field_of
from apps.console.schema_form import SchemaForm

PAYMENT = {
    "type": "object",
    "required": ["amount", "to"],
    "properties": {
        "amount": {"type": "number", "description": "In euros"},
        "to": {"type": "string"},
        "count": {"type": "integer", "minimum": 1},
        "urgent": {"type": "boolean"},
        "currency": {"enum": ["EUR", "USD"]},
        "tags": {"type": "array", "items": {"type": "string"}},
        "limits": {"type": "array", "items": {"type": "integer"}},
        "address": {"$ref": "#/$defs/Address"},
        "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
    },
    "$defs": {"Address": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
GIVEN: dict[str, Any] = {
    "amount": 5.0, "to": "Ada\nLovelace ", "count": 2, "urgent": True, "currency": "EUR", "tags": ["a", "b c"],
    "limits": [1, 2], "address": {"city": "Köln"}, "note": None, "extra": {"x": [1, None]},
}  # fmt: skip


def sent(form: SchemaForm, **changes: str | None) -> QueryDict:
    """What a browser sends of the form as it is shown, with changes by property (None: nothing is sent)."""
    data = QueryDict(mutable=True)
    for bound in form:
        value: Any = bound.value()
        change = changes.get(str(bound.label), value)
        if change is True:
            change = "on"
        if change is not None and change is not False:
            data[bound.html_name] = str(change).replace("\r\n", "\n").replace("\n", "\r\n")
    return data


def read(schema: Any, value: Any = MISSING, **changes: str | None) -> Any:
    form = SchemaForm(sent(SchemaForm(schema=schema, value=value), **changes), schema=schema, value=value)
    assert form.is_valid(), form.errors
    return form.value()


def exact(value: Any) -> str:
    return repr(value)  # tells 5 from 5.0 and True


def test_what_nobody_touches_stays_exactly_as_it_was() -> None:
    assert exact(read(PAYMENT, GIVEN)) == exact(GIVEN)


@pytest.mark.parametrize(
    "value",
    [
        {"amount": 5, "to": ""},
        {"amount": "five", "to": 7},
        {"amount": True, "to": None},
        {"amount": 1e300, "to": " a\r\nb\n", "count": 10**30},
        {"amount": 1, "to": "x", "tags": ["two\nlines"], "currency": "GBP", "urgent": None, "count": 2.0},
        {"amount": 1, "to": "x", "tags": [], "limits": [True], "address": None, "note": ""},
        {"": {"a b": 1}, "amount": -0.0, "to": "<b>"},
        [1, 2],
        "text",
        None,
    ],
)
def test_whatever_a_value_is_it_is_shown_and_kept(value: Any) -> None:
    assert exact(read(PAYMENT, value)) == exact(value)


@pytest.mark.parametrize(
    ("name", "written", "becomes"),
    [
        ("amount", "7", 7),
        ("amount", "7.5", 7.5),
        ("to", " Grace\nHopper", " Grace\nHopper"),
        ("to", "", ""),
        ("count", "3", 3),
        ("count", "", MISSING),
        ("urgent", None, False),
        ("currency", "USD", "USD"),
        ("currency", "", MISSING),
        ("tags", "one\n\n two ", ["one", "two"]),
        ("tags", "", MISSING),
        ("limits", "3\n4", [3, 4]),
        ("address", '{"city": "Bonn"}', {"city": "Bonn"}),
        ("note", '"soon"', "soon"),
        ("extra", "null", None),
        ("extra", "", MISSING),
    ],
)
def test_what_is_written_is_read_as_the_schema_says(name: str, written: str | None, becomes: Any) -> None:
    expected = {**GIVEN, name: becomes}
    if becomes is MISSING:
        del expected[name]
    assert exact(read(PAYMENT, GIVEN, **{name: written})) == exact(expected)


@pytest.mark.parametrize(
    ("name", "written", "says"),
    [
        ("amount", "much", "Enter a number."),
        ("amount", "", "This field is required."),
        ("amount", "nan", "Enter a number."),
        ("count", "0", "greater than or equal to 1"),
        ("currency", "GBP", "Select a valid choice"),
        ("limits", "3\nfour", "four: Enter a whole number."),
        ("address", "{", "This is not JSON"),
        ("address", '{"x": NaN}', "NaN is not a JSON value"),
        ("address", '{"x": "\\u0000"}', "holds a NUL character"),
    ],
)
def test_what_cannot_be_a_value_is_said_beside_its_field(name: str, written: str, says: str) -> None:
    form = SchemaForm(sent(SchemaForm(schema=PAYMENT, value=GIVEN), **{name: written}), schema=PAYMENT, value=GIVEN)
    assert not form.is_valid()
    [(field, messages)] = form.errors.items()
    assert form.fields[field].label == name and says in str(messages)


def test_faults_of_the_whole_schema_stand_beside_what_they_are_about() -> None:
    form = SchemaForm(sent(SchemaForm(schema=PAYMENT, value=GIVEN)), schema=PAYMENT, value=GIVEN)
    assert form.is_valid()
    form.refuse([("/arguments/address/city", "no such city"), ("/arguments", "too much"), ("/arguments/no", "odd")])
    assert form.errors == {"value-7": ["no such city"], "__all__": ["too much", "odd"]}


def test_without_a_value_the_form_asks_for_one() -> None:
    schema = {
        "type": "object",
        "required": ["approved"],
        "properties": {
            "approved": {"type": "boolean"},
            "why": {"type": "string"},
            "days": {"type": "integer", "default": 3},
        },
    }
    assert not SchemaForm(sent(SchemaForm(schema=schema)), schema=schema).is_valid(), "nobody has said yes or no"
    assert read(schema, approved="no") == {"approved": False, "days": 3}
    assert read(schema, approved="yes", why="ok", days="") == {"approved": True, "why": "ok"}
    assert read({"enum": ["yes", "no"]}, Value="no") == "no"
    assert read({"type": "string"}, Value="some\ntext") == "some\ntext"
    assert read({}, Value='{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    "schema",
    [
        None, True, [], {"properties": []}, {"properties": {"a": True, "b": None}}, {"required": "a"}, {"type": {}},
        {"properties": {"a": {"type": ["string", 7]}, "b": {"enum": {}}, "c": {"anyOf": "x"}, "d": {"$ref": ""}}},
        {"$defs": {"d": {"$ref": "#/$defs/d"}}, "properties": {"a": {"$ref": "#/$defs/d"}, "b": {"$ref": "http://x/"}}},
        {"properties": {"a": {"type": "array", "items": {"type": ["integer"]}}, "b": {"enum": [1, "1", True]}}},
    ],
)  # fmt: skip
def test_a_schema_that_means_nothing_leaves_json(schema: Any) -> None:
    value = {"a": [1], "b": True}
    assert exact(read(schema, value)) == exact(value)


def test_choices_may_be_of_any_scalar() -> None:
    field = field_of({"enum": [1, "two", None, 2.5, False]}, {}, required=True, value=None)
    assert field.initial == "null"
    assert [field.clean(text) for text in ("1", "two", "null", "2.5", "false")] == [1, "two", None, 2.5, False]


def test_names_and_values_are_text_and_never_markup() -> None:
    name = '"><script>alert(1)</script>'
    page = SchemaForm(schema={}, value={name: name}).as_div()
    assert "<script>" not in page and html.escape(name) in page
