"""`${secret:NAME}` and `${env:NAME}`: places in a document's strings that are filled while a part is being built.

A document, an AgentVersion, a task and an event only ever hold the reference. Any other `$` is text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings

from apps.agents.errors import PermanentError
from apps.tenancy import secrets
from apps.tenancy.models import DEFAULT_APP, App

REFERENCE = re.compile(r"\$\{(secret|env):([^{}]*)\}")


class SecretMissing(PermanentError):
    """The App has no secret of this name; a new attempt cannot help until somebody sets it."""

    def __init__(self, name: str) -> None:
        super().__init__("secret_missing", f"The secret {name} is not set in this App.")


class EnvironmentMissing(PermanentError):
    """The workers' environment does not have this variable, or may not give it away."""

    def __init__(self, name: str) -> None:
        super().__init__(
            "env_missing",
            f"The environment variable {name} is not set, or this App may not read it (HECTOR_ENV_ALLOW).",
        )


def find(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str, str]]:
    """Every reference in a document: where, `secret` or `env`, and the name as written."""
    if isinstance(value, str):
        for kind, name in REFERENCE.findall(value):
            yield path, kind, name
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from find(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from find(item, (*path, index))


def secret_names(document: Any) -> set[str]:
    """The secrets that a document needs."""
    return {name for _, kind, name in find(document) if kind == "secret"}


def resolver(app: App) -> Callable[[str], str]:
    """A function that fills the references of a text with this App's values as they are now.

    It raises SecretMissing or EnvironmentMissing, which name what is missing and never a value.
    """
    values = secrets.values(app)

    def fill(match: re.Match[str]) -> str:
        kind, name = match.groups()
        if kind == "secret":
            if name not in values:
                raise SecretMissing(name)
            return values[name]
        allowed = app.name == DEFAULT_APP and name in settings.HECTOR_ENV_ALLOW
        if not allowed or name not in os.environ:
            raise EnvironmentMissing(name)
        return os.environ[name]

    return lambda text: REFERENCE.sub(fill, text)
