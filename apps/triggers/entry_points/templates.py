"""Templates of a task's input and session: Jinja2, sandboxed, and strict about names that are not there.

A text that is one expression and nothing else (`"{{ body.count }}"`) becomes the value of that expression, whatever
its type; any other text stays text, with lists and mappings in it as JSON and times as ISO 8601. `a.b` is the key `b`
of a mapping `a`, whatever methods mappings have.

The sandbox keeps a template from anything but the values that it is given. It does not bound what a template computes:
documents are applied by those who may run code here anyway (`apps.accounts.permissions`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from jinja2 import StrictUndefined, TemplateError, Undefined, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic_core import PydanticSerializationError, to_jsonable_python

from apps.tasks.errors import MAX_MESSAGE
from apps.triggers.errors import TemplateFailed

Path = tuple[str | int, ...]
LONGEST = 1024 * 1024  # characters that a text may become


class _Environment(ImmutableSandboxedEnvironment):
    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)


def _as_text(value: Any) -> Any:
    """What stands in a text for a value."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping | list | tuple):
        return _as_json(value)
    return "" if value is None else value


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, cls=DjangoJSONEncoder)


def _date(value: date, form: str = "%Y-%m-%d") -> str:
    return value.strftime(form)


_environment = _Environment(undefined=StrictUndefined, finalize=_as_text, autoescape=False, keep_trailing_newline=True)
_environment.filters |= {"date": _date, "tojson": _as_json}

Render = Callable[[Mapping[str, Any]], Any]


def problems(value: Any, known: frozenset[str]) -> Iterator[tuple[Path, str]]:
    """What is wrong with the templates in a value (text, mapping, list) of a document: where in it, and a sentence."""
    for path, text in _texts(value):
        try:
            syntax = _environment.parse(text)
            _compiled(text)
        except TemplateError as error:
            yield path, f"This is no template: {error}."
            continue
        for name in sorted(meta.find_undeclared_variables(syntax) - known):
            yield path, f"A template has no `{name}` here; there is {', '.join(sorted(known))}."


def render(value: Any, data: Mapping[str, Any]) -> Any:
    """The value with its templates made into plain JSON. Raises TemplateFailed."""
    match value:
        case str(text):
            return _rendered(text, data)
        case dict():
            return {key: render(item, data) for key, item in value.items()}
        case list():
            return [render(item, data) for item in value]
    return value


def is_nothing(value: Any) -> bool:
    """Whether there is nothing in a rendered value but blank texts and nulls."""
    match value:
        case None:
            return True
        case str(text):
            return not text.strip()
        case dict() | list() if value:
            return all(map(is_nothing, value.values() if isinstance(value, dict) else value))
    return False


def _texts(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _texts(item, (*path, key))


def _rendered(text: str, data: Mapping[str, Any]) -> Any:
    try:
        value = _compiled(text)(data)
        if isinstance(value, Undefined):
            value._fail_with_undefined_error()
        value = to_jsonable_python(value)
    except UndefinedError as error:
        raise TemplateFailed(f"the template {_short(text)} asks for what is not there: {error}") from None
    except (PydanticSerializationError, RecursionError):
        raise TemplateFailed(f"the template {_short(text)} makes what is not JSON") from None
    except Exception as error:  # noqa: BLE001  # a template's expressions raise what they like, of what they are given
        said = f"{type(error).__name__}: {error}"[:MAX_MESSAGE]
        raise TemplateFailed(f"the template {_short(text)} failed: {said}") from None
    if isinstance(value, str) and len(value) > LONGEST:
        raise TemplateFailed(f"the template {_short(text)} makes more than {LONGEST:,} characters")
    return value


def _short(text: str) -> str:
    return repr(text if len(text) <= 100 else f"{text[:99]}…")


@lru_cache(maxsize=1000)
def _compiled(text: str) -> Render:
    if _is_one_expression(text):
        expression = _environment.compile_expression(text.strip()[2:-2].strip("-+"), undefined_to_none=False)
        return lambda data: expression(**data)
    template = _environment.from_string(text)
    return lambda data: template.render(**data)


def _is_one_expression(text: str) -> bool:
    match _environment.parse(text).body:
        case [nodes.Output(nodes=[nodes.TemplateData()])]:
            return False
        case [nodes.Output(nodes=[_])]:
            return text.startswith("{{") and text.endswith("}}")
    return False
