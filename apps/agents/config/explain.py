"""What Pydantic found -> faults that a person can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from apps.agents.config.faults import Fault
from apps.agents.config.schema import LATER_KEYS, NOT_YET, model_at
from hector_site.problems import pointer

Path = tuple[str | int, ...]

_SENTENCES = {
    "missing": "This key is required.",
    "dict_type": "Must be a mapping of keys and values.",
    "model_type": "Must be a mapping of keys and values.",
    "string_type": "Must be text.",
    "list_type": "Must be a list.",
    "bool_type": "Must be true or false.",
    "bool_parsing": "Must be true or false.",
    "int_type": "Must be a whole number.",
    "int_parsing": "Must be a whole number.",
    "int_from_float": "Must be a whole number.",
    "float_type": "Must be a number.",
    "float_parsing": "Must be a number.",
}


def explain(error: ValidationError, data: dict[str, Any]) -> Iterator[Fault]:
    """One fault per place; what each kind that a value may have said about it is put into one sentence."""
    places: dict[Path, list[str]] = {}
    # Where a value may be of several kinds, and whether one of them fitted but for a detail.
    unions: dict[Path, bool] = {}
    for item in error.errors(include_url=False, include_input=False):
        path, union = _place(item, data)
        if union is not None:
            unions[union] = unions.get(union, False) or len(path) > len(union)
        sentence = _sentence(item, path, data)
        if sentence not in places.setdefault(path, []):
            places[path].append(sentence)
    for path, sentences in places.items():
        if not unions.get(path, False):
            yield Fault(pointer(*path), " Or: ".join(sentences))


def _place(item: ErrorDetails, data: Any) -> tuple[Path, Path | None]:
    """The path as it is in the document: without the names that Pydantic gives to the members of a union."""
    path: Path = ()
    union: Path | None = None
    here = data
    for part in item["loc"]:
        if _holds(here, part):
            here, path = here[part], (*path, part)
        elif item["type"] in ("missing", "unknown_kind") and isinstance(here, dict) and part == item["loc"][-1]:
            path = (*path, part)
        elif part != "[key]" and union is None:
            union = path
    return path, union


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, list):
        return isinstance(part, int) and part < len(value)
    return isinstance(value, dict) and part in value


def _sentence(item: ErrorDetails, path: Path, data: dict[str, Any]) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path, data)
    if kind == "string_pattern_mismatch" and item["loc"][-1] == "[key]":
        return "A name has letters, digits, `_` and `-`, a letter first, and 64 of them at most."
    if kind == "value_error":
        return _full_stop(str(context["error"]))
    return _SENTENCES.get(kind) or _full_stop(item["msg"].replace("Input should be", "Must be"))


def _full_stop(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")


def _unknown_key(path: Path, data: dict[str, Any]) -> str:
    parent, key = path[:-1], path[-1]
    if len(parent) in (0, 2) and key in LATER_KEYS.get(parent[:1], ()):
        return f"`{key}` is {NOT_YET}."
    model = model_at(parent, data)
    known = list(model.model_fields) if model else []
    close = difflib.get_close_matches(str(key), known, n=1)
    return f"`{key}` is not a key here" + (f"; did you mean `{close[0]}`?" if close else ".")
