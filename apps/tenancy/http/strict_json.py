"""JSON as RFC 8259 has it, holding only what both databases can keep and every client can read back.

Refused: NUL and lone surrogates, NaN and infinities, numbers past 64 bits (or past a double's range), nesting deeper
than 64.
"""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn

MAX_DEPTH = 64
_MAX_DIGITS = 20


def read_json(text: str) -> Any:
    """Raises ValueError: what is wrong with the text, as the part of a sentence that follows its name."""
    try:
        value = json.loads(text, parse_constant=_not_json, parse_int=_integer, parse_float=_number)
    except RecursionError:
        raise _too_deep() from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None
    # Only these can bring in what a look at the values is for; most bodies have few of the one and none of the other.
    if "\\u" in text or text.count("[") + text.count("{") > MAX_DEPTH:
        _check(value)
    return value


def _check(value: Any) -> None:
    stack = [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, list):
            stack += [(inner, depth + 1) for inner in item]
        elif isinstance(item, dict):
            for key in item:
                _check_text(key)
            stack += [(inner, depth + 1) for inner in item.values()]


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("holds a NUL character (\\u0000), which cannot be stored")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("holds half of a surrogate pair, which is no character")


def _too_deep() -> ValueError:
    return ValueError(f"is nested deeper than {MAX_DEPTH} levels")


def _not_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a JSON value")


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS or not -(2**63) <= (value := int(digits)) < 2**63:
        raise ValueError("it holds a whole number of more than 64 bits; send it as text")
    return value


def _number(digits: str) -> float:
    if not math.isfinite(value := float(digits)):
        raise ValueError("it holds a number that is too large")
    return value
