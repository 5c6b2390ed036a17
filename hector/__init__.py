"""Hector for Python programs: `Client` and `AsyncClient` talk to an installation over HTTP, `AgentRuntime` is one.

Nothing is imported before it is used: a program that only talks to a server loads no engine.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hector.client import AsyncClient as AsyncClient
    from hector.client import Client as Client
    from hector.client import errors as errors
    from hector.client.events import EventType as EventType
    from hector.runtime import AgentRuntime as AgentRuntime
    from hector.runtime import AgentRuntimeConfig as AgentRuntimeConfig
    from hector.runtime import CannotStart as CannotStart
    from hector.runtime import EntryPointSpec as EntryPointSpec
    from hector.runtime import configure_logging as configure_logging
    from hector.runtime.callables import agent as agent
    from hector.runtime.callables import tool as tool

_FROM = {
    "hector.client": ("Client", "AsyncClient", "errors"),
    "hector.client.events": ("EventType",),
    "hector.runtime": ("AgentRuntime", "AgentRuntimeConfig", "CannotStart", "EntryPointSpec", "configure_logging"),
    "hector.runtime.callables": ("agent", "tool"),
}


def __getattr__(name: str) -> Any:
    for module, names in _FROM.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'hector' has no attribute {name!r}")


__all__ = [
    "AgentRuntime",
    "AgentRuntimeConfig",
    "AsyncClient",
    "CannotStart",
    "Client",
    "EntryPointSpec",
    "EventType",
    "agent",
    "configure_logging",
    "errors",
    "tool",
]
