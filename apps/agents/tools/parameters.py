"""A tool's parameters, written as JSON Schema properties, and the `{name}` placeholders that they fill.

Every parameter is required unless it has a `default`; others than the declared are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry

from apps.agents.tools.outcomes import Refused

_PLACEHOLDER: Final = re.compile(r"(?<!\$)\{(\{?)([A-Za-z_]\w*)\}(\}?)")


class Parameters:
    """The JSON Schema of a tool's arguments, from its properties."""

    def __init__(self, properties: Mapping[str, Mapping[str, Any]]) -> None:
        """Raises ValueError if the properties are not JSON Schema."""
        self.schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: dict(schema) for name, schema in properties.items()},
            "required": [name for name, schema in properties.items() if "default" not in schema],
            "additionalProperties": False,
        }
        try:
            Draft202012Validator.check_schema(self.schema)
        except SchemaError as error:
            raise ValueError(f"not JSON Schema at {error.json_path}: {error.message}") from None
        # An empty registry: a `$ref` to an address is an error instead of a download.
        self._validator = Draft202012Validator(self.schema, registry=Registry())
        self._defaults = {name: schema["default"] for name, schema in properties.items() if "default" in schema}

    def check(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments with defaults filled in. Raises Refused with what is wrong."""
        arguments = self._defaults | arguments
        error = best_match(self._validator.iter_errors(arguments))
        if error is not None:
            raise Refused(f"{error.json_path}: {error.message}")
        return arguments


@dataclass(frozen=True)
class Template:
    """Text with `{name}` placeholders; `{{name}}` stands for the text `{name}`, and `${name}` is text.

    Values are filled in once: a value that looks like a placeholder or a reference stays what it is.
    """

    literals: tuple[str, ...]  # one more than names
    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        literals, names = [""], []
        end = 0
        for match in _PLACEHOLDER.finditer(text):
            if match[1] and match[3]:
                literals[-1] += text[end : match.start()] + match[0][1:-1]
            else:
                literals[-1] += text[end : match.start()] + match[1]
                names.append(match[2])
                literals.append(match[3])
            end = match.end()
        literals[-1] += text[end:]
        return cls(tuple(literals), tuple(names))

    @property
    def is_one_placeholder(self) -> bool:
        return self.literals == ("", "")

    def fill(
        self, arguments: Mapping[str, Any], *, encode: Callable[[str], str] = str, resolve: Callable[[str], str] = str
    ) -> str:
        """The text with every value encoded, and with the references in the text itself (only there) resolved."""
        filled = [resolve(self.literals[0])]
        for name, literal in zip(self.names, self.literals[1:], strict=True):
            filled += [encode(as_text(arguments[name])), resolve(literal)]
        return "".join(filled)


def as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
