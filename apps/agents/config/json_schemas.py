"""What is wrong with the JSON Schema of an agent's input or result, or of an answer.

A schema that passes can be used on any value: it refers to nothing outside (checking a value never downloads
anything), to nothing that is not there, and never round in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

Path = tuple[str | int, ...]
Lookup = Callable[[str], Any]

_REFERENCES = ("$ref", "$dynamicRef")
_SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")


def problems(schema: dict[str, Any], *, is_output: bool, is_object: bool = True) -> Iterator[tuple[Path, str]]:
    """Where in the schema, and a sentence. `is_object`: its values have to be objects."""
    if is_object and schema.get("type") != "object":
        yield ("type",), "The schema must be of `type: object`."
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        yield tuple(error.absolute_path), f"This is no JSON Schema: {error.message[:200]}."
        return
    resolver = Registry().with_resource("", DRAFT202012.create_resource(schema)).resolver()
    broken = list(_broken_references(schema, lambda target: resolver.lookup(target).contents))
    yield from broken
    if not broken and _is_endless(schema, lambda target: resolver.lookup(target).contents):
        yield (), "The schema refers to itself without end."
    elif not broken and is_output and "$defs" in schema and not _can_be_asked_for(schema):
        yield ("$defs",), "A result's schema may refer to its `$defs`, but no definition may refer to itself."


def _inside(value: Any, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every mapping in a schema."""
    if isinstance(value, dict):
        yield path, value
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _inside(item, (*path, key))


def _broken_references(schema: dict[str, Any], lookup: Lookup) -> Iterator[tuple[Path, str]]:
    for path, node in _inside(schema):
        for key in _REFERENCES:
            target = node.get(key)
            if not isinstance(target, str):
                continue
            if not target.startswith("#"):
                yield (*path, key), "A schema may only refer to itself (`#/$defs/…`)."
                continue
            try:
                lookup(target)
            except Unresolvable:
                yield (*path, key), "This refers to nothing that is in the schema."


def _is_endless(schema: dict[str, Any], lookup: Lookup) -> bool:
    """Whether checking some value would come back to the same schema for the same value."""
    done: set[int] = set()
    try:
        return any(_comes_back(node, lookup, set(), done) for _, node in _inside(schema))
    except RecursionError:  # so long a chain of references would exhaust the stack of whoever checks a value, too
        return True


def _comes_back(node: Any, lookup: Lookup, above: set[int], done: set[int]) -> bool:
    if not isinstance(node, dict) or id(node) in done:
        return False
    if id(node) in above:
        return True
    above.add(id(node))
    found = any(_comes_back(other, lookup, above, done) for other in _for_the_same_value(node, lookup))
    above.discard(id(node))
    done.add(id(node))
    return found


def _for_the_same_value(node: dict[str, Any], lookup: Lookup) -> Iterator[Any]:
    for key in _REFERENCES:
        if isinstance(target := node.get(key), str):
            yield lookup(target)
    for key in _SAME_VALUE:
        match node.get(key):
            case list() as schemas:
                yield from schemas
            case dict() as schemas if key == "dependentSchemas":
                yield from schemas.values()
            case schema:
                yield schema


def _can_be_asked_for(schema: dict[str, Any]) -> bool:
    """Whether a model can be asked for a result of this schema: its definitions are written out for that."""
    from pydantic_ai import StructuredDict  # takes a second to import, and few documents get here

    try:
        StructuredDict(schema)
    except Exception:  # noqa: BLE001  # a schema can be odd in any way; whatever it trips would stop every task
        return False
    return True
