"""Python functions as agents and tools: `@agent` and `@tool` say which, and leave the function as it is.

A task refers to a function by module and name, and survives the program; so the function must be found under that
name when the program runs again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declared:
    """A function, and what else the App's document says of it."""

    path: str
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> str:
        return self.path.rpartition(".")[0]

    def as_document(self) -> dict[str, Any]:
        return {"type": "function", "handler": self.path, **self.options}


agents: dict[str, Declared] = {}
tools: dict[str, Declared] = {}


@overload
def agent(function: F, /) -> F: ...
@overload
def agent(*, name: str = "", **options: Any) -> Callable[[F], F]: ...
def agent(function: Any = None, /, *, name: str = "", **options: Any) -> Any:
    """Makes an agent of a function, which is called with the task's input (a dict); what it returns is the output.

    `options` are those of a function agent in a document: `description`, `input_schema`, `timeout`, `retry`, …
    """
    return _declaring(agents, function, name, options)


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, name: str = "", **options: Any) -> Callable[[F], F]: ...
def tool(function: Any = None, /, *, name: str = "", **options: Any) -> Any:
    """Makes a tool of a function, for the agents of the document that name it; its signature is its schema.

    `options` are those of a function tool in a document: `require_approval`, `idempotent`, `timeout`, …
    """
    return _declaring(tools, function, name, options)


def _declaring(known: dict[str, Declared], function: Any, name: str, options: dict[str, Any]) -> Any:
    def declare(decorated: F) -> F:
        path = f"{decorated.__module__}.{decorated.__qualname__}"
        if "." in decorated.__qualname__:
            raise ValueError(f"{path} must be a function at the top of its module: a task finds it there again")
        chosen = name or decorated.__name__
        if chosen in known and known[chosen].path != path:
            raise ValueError(f"{known[chosen].path} is called {chosen!r} already: give {path} another name")
        known[chosen] = Declared(path, options)
        return decorated

    return declare if function is None else declare(function)


def modules() -> set[str]:
    """Where the functions are."""
    return {declared.module for declared in (*agents.values(), *tools.values())}
