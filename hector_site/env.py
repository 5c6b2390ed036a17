"""Typed settings from the environment.

Every setting of Hector is a `HECTOR_…` variable (a command-line flag sets the same variable before Django
starts). A value that cannot be read raises `BadSetting`, whose text is one sentence that names the variable.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_BOOLEANS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class BadSetting(ValueError):
    """A setting has a value that cannot be used; the text says which and why."""


def parse_duration(text: str) -> float:
    """Seconds from `500ms`, `30s`, `5m`, `2h`, `1d` or a bare number of seconds.

    Raises ValueError for anything else.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 500ms, 30s, 5m, 2h, 1d or a number of seconds")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def duration(seconds: float) -> str:
    """The text of it, as settings are written: in the largest unit that makes it a whole number."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds / length:g}{unit}"
    return f"{seconds:g}s"


def envstr(name: str, default: str = "") -> str:
    return os.environ.get(name, default)


def envchoice(name: str, default: str, choices: Sequence[str]) -> str:
    text = os.environ.get(name, "").lower() or default
    if text not in choices:
        raise BadSetting(f"{name} is {text!r}: write {', '.join(choices[:-1])} or {choices[-1]}")
    return text


def envbool(name: str, default: bool) -> bool:
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise BadSetting(f"{name} is {text!r}: write true or false") from None


def envint(name: str, default: int, *, least: int | None = None, most: int | None = None) -> int:
    text = os.environ.get(name, "")
    if not text:
        return default
    try:
        value = int(text)
    except ValueError:
        raise BadSetting(f"{name} is {text!r}: write a whole number") from None
    if least is not None and value < least:
        raise BadSetting(f"{name} is {value}: the least is {least}")
    if most is not None and value > most:
        raise BadSetting(f"{name} is {value}: the most is {most}")
    return value


def envduration(name: str, default: str) -> float:
    """Seconds."""
    try:
        return parse_duration(os.environ.get(name) or default)
    except ValueError as error:
        raise BadSetting(f"{name}: {error}") from None


def envlist(name: str, default: str = "") -> list[str]:
    return [item.strip() for item in os.environ.get(name, default).split(",") if item.strip()]


def envsecret(name: str) -> str | None:
    """The variable, or the content of the file that `NAME_FILE` names (as Docker and Kubernetes mount secrets)."""
    if value := os.environ.get(name):
        return value
    if path := os.environ.get(f"{name}_FILE"):
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise BadSetting(f"{name}_FILE is {path!r}, which cannot be read: {error.strerror}") from None
    return None
