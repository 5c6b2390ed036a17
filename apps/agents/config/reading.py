"""Text or JSON -> plain data that can be stored and checked.

YAML is read by the 1.2 core rules (`yes`, `on` and `2024-01-01` are text), one document, no tags of its own. What
could hurt (aliases that multiply, deep nesting, huge text or numbers) or mislead (a key written twice, a key that is
not text) is refused with its line, before anything else looks at it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from apps.agents.config.faults import ConfigInvalid, Fault
from hector_site.problems import pointer

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 50_000
MAX_NUMBER = 2**63

Path = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Source:
    """A document's data and, where it was YAML, the line on which the value of each pointer starts."""

    data: dict[str, Any]
    lines: dict[str, int] = field(default_factory=dict)

    def line(self, place: str) -> int | None:
        """The line of a pointer, or of the nearest thing around it."""
        while place and place not in self.lines:
            place = place.rpartition("/")[0]
        return self.lines.get(place)


def read(document: str | dict[str, Any]) -> Source:
    """Raises ConfigInvalid for what is no document at all: not readable, not a mapping, not storable as JSON."""
    source = _parse(document) if isinstance(document, str) else Source(document)
    if source.data is None:
        raise _refused("The document is empty.")
    if not isinstance(source.data, dict):
        raise _refused("The document must be a mapping of keys such as `llms`, `tools` and `agents`.")
    budget = [MAX_VALUES]
    if faults := list(_unstorable(source.data, (), budget)):
        raise ConfigInvalid(Fault(fault.pointer, fault.detail, source.line(fault.pointer)) for fault in faults[:100])
    return source


def _refused(detail: str, line: int | None = None) -> ConfigInvalid:
    return ConfigInvalid([Fault("", detail, line)])


def _parse(text: str) -> Source:
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _refused(f"The document is larger than {MAX_BYTES // 1024} KiB.")
    if text.lstrip().startswith("{"):
        try:
            return Source(json.loads(text, object_pairs_hook=_object, parse_int=_integer))
        except RecursionError:
            raise _too_deep() from None
        except json.JSONDecodeError:
            pass  # YAML's own braces; if it is no YAML either, YAML's message has the line
    return _parse_yaml(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        raise _refused(
            f"The key {_shown(next(key for key in keys if keys.count(key) > 1))} is written twice in one object."
        )
    return found


def _integer(digits: str) -> int:
    """A number too long for Python to read is as good as the first one that is too large: `_unstorable` refuses it."""
    return int(digits, 0) if len(digits) < 30 else MAX_NUMBER


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _too_deep(line: int | None = None) -> ConfigInvalid:
    return _refused(f"The document is nested deeper than {MAX_DEPTH} levels.", line)


# --- YAML -----------------------------------------------------------------------------------------------------------
CORE_RULES: list[tuple[str, re.Pattern[str], list[str]]] = [  # what plain text means: tag, pattern, first characters
    (_TAG + "null", re.compile(r"(?:~|null|Null|NULL)?\Z"), ["~", "n", "N", ""]),
    (_TAG + "bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF")),
    (_TAG + "int", re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), list("-+0123456789")),
    (
        _TAG + "float",
        re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"),
        list("-+.0123456789"),
    ),
]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # libyaml where PyYAML has it
    yaml_implicit_resolvers: dict[str, Any] = {}


for rule in CORE_RULES:
    _Loader.add_implicit_resolver(*rule)


def _parse_yaml(text: str) -> Source:
    try:
        _measure(text)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        hint = " A reference inside braces needs quotes: {key: '${secret:NAME}'}." if _cut_reference(text, mark) else ""
        raise _refused(f"The YAML cannot be read{place}: {error.problem or error.context}.{hint}") from None
    except (yaml.YAMLError, UnicodeError):
        raise _refused("The YAML cannot be read: it holds a character that is not allowed in it.") from None
    if root is None:
        raise _refused("The document is empty.")
    builder = _Builder()
    data = builder.value(root, ())
    if builder.faults:
        raise ConfigInvalid(builder.faults)
    return Source(data, builder.lines)


def _cut_reference(text: str, mark: Any) -> bool:
    """Whether YAML stopped at the brace of a `${…}`: in `{key: ${secret:NAME}}` it means a mapping."""
    lines = text.splitlines()
    return mark is not None and mark.line < len(lines) and lines[mark.line][: mark.column + 1].endswith("${")


def _measure(text: str) -> None:
    """Refuses what is nested so deeply that composing it, which recurses, could exhaust the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _too_deep(event.start_mark.line + 1 if event.start_mark else None)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


class _Builder:
    """Turns composed nodes into data; an alias counts as often as it is used."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self.faults: list[Fault] = []
        self.built = 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        line = node.start_mark.line + 1
        self.built += 1
        if self.built > MAX_VALUES:
            raise _refused(f"The document holds more than {MAX_VALUES} values.", line)
        if len(path) > MAX_DEPTH:
            raise _too_deep(line)
        self.lines[pointer(*path)] = line
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self.scalar(node, path)
        return self.fault(node, path, f"The tag {node.tag} is not supported.")

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag != _TAG + "str":
                written = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a list or mapping"
                self.fault(key_node, path, f"Keys are text, and {_shown(written)} is not: put it in quotes.")
            elif key_node.value == "<<" and not key_node.style:
                self.fault(key_node, path, "`<<` (merge) is not supported; write the keys out.")
            elif key_node.value in found:
                self.fault(key_node, (*path, key_node.value), f"The key {_shown(key_node.value)} is written twice.")
            else:
                found[key_node.value] = self.value(value_node, (*path, key_node.value))
        return found

    def scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text = node.value
        try:
            match node.tag.removeprefix(_TAG):
                case "str":
                    return text
                case "null":
                    return None
                case "bool":
                    return {"true": True, "false": False}[text.lower()]
                case "int":
                    return _integer(text.lower() if text[:1] == "0" and text[1:2] in "xo" else _without_zeros(text))
                case "float":
                    return float(text)
        except (KeyError, ValueError):
            return self.fault(node, path, f"{_shown(text)} is not what its tag says.")
        return self.fault(node, path, f"The tag {node.tag} is not supported.")

    def fault(self, node: yaml.Node, path: Path, detail: str) -> None:
        self.faults.append(Fault(pointer(*path), detail, node.start_mark.line + 1))


def _without_zeros(text: str) -> str:
    """`007` is seven."""
    sign = text[0] if text[0] in "+-" else ""
    return sign + (text.lstrip("+-").lstrip("0") or "0")


# --- JSON -----------------------------------------------------------------------------------------------------------
def _unstorable(value: object, path: Path, budget: list[int]) -> Iterator[Fault]:
    """What JSON, or a database that keeps JSON, cannot hold."""
    budget[0] -= 1
    if budget[0] < 0:
        raise _refused(f"The document holds more than {MAX_VALUES} values.")
    if len(path) > MAX_DEPTH:
        raise _too_deep()
    match value:
        case str():
            if _UNSTORABLE.search(value):
                yield Fault(pointer(*path), "The text holds a character that cannot be stored.")
        case None | bool():
            pass
        case int():
            if abs(value) >= MAX_NUMBER:
                yield Fault(pointer(*path), "The number is too large.")
        case float():
            if not math.isfinite(value):
                yield Fault(pointer(*path), "The number is not finite.")
        case list():
            for index, item in enumerate(value):
                yield from _unstorable(item, (*path, index), budget)
        case dict():
            for key, item in value.items():
                if not isinstance(key, str) or _UNSTORABLE.search(key):
                    yield Fault(pointer(*path), f"{_shown(key)} cannot be a key.")
                else:
                    yield from _unstorable(item, (*path, key), budget)
        case _:
            yield Fault(pointer(*path), f"A value of type {type(value).__name__} has no JSON form.")
