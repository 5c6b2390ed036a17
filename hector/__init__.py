"""Hector for Python programs: `Client` and `AsyncClient` talk to an installation over HTTP.

Nothing is imported before it is used: a program that only talks to a server loads no engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hector.client import AsyncClient as AsyncClient
    from hector.client import Client as Client
    from hector.client import errors as errors

_FROM = {"Client": "hector.client", "AsyncClient": "hector.client"}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("hector.client.errors")
    if name not in _FROM:
        raise AttributeError(f"module 'hector' has no attribute {name!r}")
    return getattr(import_module(_FROM[name]), name)


__all__ = ["AsyncClient", "Client", "errors"]
