"""What a decision is bound to: digests of exact values, and whether a person's own values fit."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable

from apps.queue import sql
from hector_site.problems import pointer

MOST_FAULTS = 20


def digest(*parts: Any) -> str:
    """Of canonical JSON: the order of keys does not count, everything else does."""
    exact = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(exact.encode()).hexdigest()


def storable(value: Any) -> Any:
    """The value as both databases can keep it, to be shown. (Digests are of the value itself.)"""
    return json.loads(sql.js(value))


def faults(schema: dict[str, Any], value: Any, field: str) -> list[tuple[str, str]]:
    """Where the value does not fit the schema: JSON pointers that begin with the field, with sentences.

    The schema may come from elsewhere (an MCP server): it is not followed to other addresses, and one that cannot be
    used lets nothing pass.
    """
    try:
        Draft202012Validator.check_schema(schema)
        # An empty registry: a `$ref` to an address is an error instead of a download.
        found = list(Draft202012Validator(schema, registry=Registry()).iter_errors(value))
    except (SchemaError, Unresolvable, RecursionError) as error:
        return [(f"/{field}", f"The tool's schema cannot check this: {type(error).__name__}.")]
    return sorted((pointer(field, *fault.absolute_path), fault.message[:200]) for fault in found[:MOST_FAULTS])
