"""The client is as complete as the API's description (docs/openapi.json), and means the same by every name."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import pytest

from apps.tasks.events import EventType as Written
from apps.tenancy.http import problems
from hector import Client, EventType, errors
from hector.client.calls import Call, Group, Record, _Described
from tests.support.installation import ROOT

OPENAPI = json.loads((ROOT / "docs/openapi.json").read_text())
OPERATIONS = {
    described["operationId"]: (method.upper(), path, described)
    for path, methods in OPENAPI["paths"].items()
    for method, described in methods.items()
}
HEADERS = {"Idempotency-Key": "idempotency_key", "Prefer": "wait"}  # that are parameters of a method
OTHERWISE = {
    "X-Hector-App": "a parameter of the client",
    "Last-Event-ID": "`tasks.follow` and `events.follow`",
    "cursor": "iterators use it",
    "If-Match": "`expected_revision`",
}


def methods() -> Iterator[tuple[Group[Any], _Described]]:
    for group in vars(Client("http://nowhere")).values():
        for _, method in inspect.getmembers(type(group)) if isinstance(group, Group) else ():
            if isinstance(method, _Described):
                yield group, method


METHODS = {method.operation_id: (group, method) for group, method in methods() if method.operation_id}


def test_every_operation_of_the_api_has_a_method() -> None:
    assert set(METHODS) == set(OPERATIONS)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_method_asks_what_the_api_describes(name: str) -> None:
    method, template, described = OPERATIONS[name]
    parameters = inspect.signature(METHODS[name][1].build).parameters
    call = called(name)
    assert call.method == method
    assert re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), call.path), call.path
    for parameter in described.get("parameters", ()):
        if parameter["in"] != "path" and parameter["name"] not in OTHERWISE:
            assert HEADERS.get(parameter["name"], parameter["name"]) in parameters
    for field in body_of(described):
        assert field in parameters, field


@pytest.mark.parametrize("name", sorted(METHODS))
def test_an_answer_has_the_fields_that_the_api_describes(name: str) -> None:
    answer = called(name).answer
    shown = next(answer for status, answer in OPERATIONS[name][2]["responses"].items() if status.startswith("2"))
    content = shown.get("content", {}).get("application/json")
    if answer is type(None) or content is None:
        assert answer is type(None) and content is None
        return
    compare(answer, content["schema"])


def test_every_code_that_has_a_class_is_one_that_the_api_gives() -> None:
    import hector_site.urls  # noqa: F401 - whose views declare what their errors mean

    declared = [error for known in problems._declared for error in (known, *known.__subclasses__())]
    given = {error.code for error in declared if hasattr(error, "code")}
    assert set(errors._kinds(errors.APIError)) <= given


def test_the_types_of_events_are_those_that_the_product_writes() -> None:
    assert {kind.value for kind in EventType} == {kind.value for kind in Written}


def called(name: str) -> Call[Any]:
    """The method's call, with something for every parameter that it must have."""
    group, method = METHODS[name]
    required = [
        parameter
        for parameter in list(inspect.signature(method.build).parameters.values())[1:]
        if parameter.default is inspect.Parameter.empty
    ]
    call: Call[Any] = method.build(group, *(5 for _ in required))
    return call


def body_of(described: dict[str, Any]) -> set[str]:
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    return set(objects(content["schema"])[0]["properties"]) if content else set()


def compare(answer: Any, schema: Any) -> None:
    """The fields of the records in `answer`, and of those in them, are those of the objects in the schema."""
    for record, described in zip(records(answer), objects(schema), strict=True):
        fields = {field.alias or name: field.annotation for name, field in record.model_fields.items()}
        assert set(fields) == set(described["properties"]), record.__name__
        for name, annotation in fields.items():
            compare(annotation, described["properties"][name])


def records(kind: Any) -> list[type[Record]]:
    """What of a type the client has a class for."""
    if isinstance(kind, type) and issubclass(kind, Record):
        return [kind]
    return [record for option in get_args(kind) for record in records(option)]


def objects(schema: Any) -> list[dict[str, Any]]:
    """What of a schema has properties of its own."""
    if isinstance(schema, list):
        return [found for inner in schema for found in objects(inner)]
    if not isinstance(schema, dict):
        return []
    if "$ref" in schema:
        return objects(OPENAPI["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    return [schema] if "properties" in schema else objects(list(schema.values()))
