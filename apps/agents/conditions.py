"""When a call needs approval: conditions in CEL, the Common Expression Language (https://cel.dev).

An expression sees `args` (the call's arguments), `tool`, `agent` and `task`, and says true or false. CEL has no loops
and no side effects, its regular expressions take linear time, and an evaluation ends after 10,000 steps through lists;
the data that it sees is bounded here. So an expression takes microseconds as a rule, and seconds at the very worst.

Checking is for when a document is applied. What goes wrong later (a key that is not there, a text compared with a
number, too much data) raises ConditionFailed, and whoever evaluates asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

MOST_TEXT: Final = 1000  # characters of an expression
MOST_DATA: Final = 64 * 1024  # characters of what it sees, as JSON
VARIABLES: Final = {"args": "map", "task": "map", "tool": "string", "agent": "string"}

# Without `map`: it makes new values, and so could make large ones out of small ones.
_ENVIRONMENT: Final = """
name: condition
stdlib: {exclude_macros: [map]}
variables:
  - {name: args, type: "map<string,dyn>"}
  - {name: task, type: "map<string,dyn>"}
  - {name: tool, type: string}
  - {name: agent, type: string}
"""


class ConditionInvalid(ValueError):
    """The text is no condition."""


class ConditionFailed(Exception):
    """It cannot be said whether the condition holds."""


def check(text: str) -> None:
    """Raises ConditionInvalid with a sentence."""
    if len(text) > MOST_TEXT:
        raise ConditionInvalid(f"A condition has {MOST_TEXT} characters at most.")
    _compiled(text)


def holds(text: str, facts: Mapping[str, Any]) -> bool:
    """Whether the condition is true of the facts, which are one value for each variable. Raises ConditionFailed."""
    seen = {name: facts[name] for name in VARIABLES if re.search(rf"\b{name}\b", text)}
    if len(json.dumps(seen)) > MOST_DATA:
        raise ConditionFailed("there is too much data to look at")
    try:
        value = _compiled(text).eval(data=seen)
    except (RuntimeError, ConditionInvalid) as error:
        raise ConditionFailed(_first_line(error)) from None
    if value.type() == cel.Type.ERROR:
        raise ConditionFailed(_first_line(value))
    if value.type() != cel.Type.BOOL:
        raise ConditionFailed(f"it says {str(value)[:100]} and not true or false")
    return bool(value.value())


@lru_cache(maxsize=512)
def _compiled(text: str) -> cel.Expression:
    try:
        expression = _environment().compile(text)
    except RuntimeError as error:
        raise ConditionInvalid(f"This is no condition in CEL: {_first_line(error)}.") from None
    if expression.return_type() not in (cel.Type.BOOL, cel.Type.DYN):
        raise ConditionInvalid("A condition says true or false, and this does not.")
    return expression


@lru_cache(maxsize=1)
def _environment() -> cel.Env:
    return cel.NewEnv(config=cel.NewEnvConfigFromYaml(_ENVIRONMENT))


def _first_line(error: Exception | cel.Value) -> str:
    """`INVALID_ARGUMENT: ERROR: <input>:1:3: Syntax error: …` without what is there for programs."""
    line = str(error).splitlines()[0]
    return re.sub(r"^(?:[A-Z_]+: )?(?:ERROR: <input>:-?\d+:-?\d+: )?|\s*\[[A-Z_]+\]$", "", line).rstrip(".")[:300]
