"""Python callables that a document names by dotted path: `package.module.function`.

Only packages on the operator's list (`HECTOR_FUNCTION_ALLOW`) are imported, so that a document cannot reach into
the rest of the server; and where Hector runs inside a program, the modules with the functions that it has declared.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

from django.conf import settings

from apps.agents.errors import PermanentError

of_this_program: set[str] = set()  # modules
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+", re.ASCII)


class HandlerRefused(PermanentError, ValueError):
    """The handler cannot be used; the text says why."""

    def __init__(self, message: str) -> None:
        super().__init__("handler_refused", message)


def load(path: str) -> Callable[..., Any]:
    """The callable at a dotted path. Raises HandlerRefused."""
    if not _PATH.fullmatch(path):
        raise HandlerRefused("A handler is a dotted path such as mypackage.module.function.")
    if not _is_allowed(path):
        allowed = ", ".join(settings.HECTOR_FUNCTION_ALLOW) or "none"
        raise HandlerRefused(f"{path} is in no package on HECTOR_FUNCTION_ALLOW (now: {allowed}).")
    module_name, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except Exception as error:  # a module of the user's may raise anything while it is imported
        raise HandlerRefused(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    if found is None:
        raise HandlerRefused(f"{module_name} has no {name}.")
    if not callable(found):
        raise HandlerRefused(f"{path} is not callable.")
    home = getattr(found, "__module__", None) or ""
    if not _is_allowed(f"{home}."):
        # A module of an allowed package that imports `subprocess.run` does not thereby offer it.
        raise HandlerRefused(f"{path} comes from {home or 'nowhere'}, which is in no package on HECTOR_FUNCTION_ALLOW.")
    return found  # type: ignore[no-any-return]  # what a getattr gives has no type


def _is_allowed(path: str) -> bool:
    return any(path.startswith(f"{package}.") for package in (*settings.HECTOR_FUNCTION_ALLOW, *of_this_program))
