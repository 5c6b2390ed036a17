"""One source for the synchronous and the asynchronous client.

A method of a `Group` says what is to be done, and does nothing by itself: it returns a `Call`, or is a generator that
yields calls and pauses and is sent the answers. `operation`, `listing`, `flow` and `following` make of it a method
which does that, at once in a `Client`, and as an awaitable (or an asynchronous iterator) in an `AsyncClient`. Which one
a group belongs to is in its type, `Group[Sync]` or `Group[Async]`, so both are checked.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, overload
from urllib.parse import parse_qs, quote, urlsplit

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from hector.client.connection import Async, Sync

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C", "Sync", "Async")


class Record(BaseModel):
    """Something that Hector answered with. Fields that this version does not know are kept."""

    model_config = ConfigDict(frozen=True, extra="allow", protected_namespaces=())


class Page(Record, Generic[T]):
    """A part of a list."""

    results: list[T]
    next: str | None
    previous: str | None


class Unset:
    """What a parameter is that was not given, where None means something."""


UNSET = Unset()


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and what its answer is read as."""

    answer: type[T]  # NoneType: nothing
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    repeatable: bool = False  # sent twice it does the same; what only reads always is
    patience: float = 0.0  # seconds that the answer may take beside the usual


@dataclass(frozen=True)
class Pause:
    """Nothing happens for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class Stream(Generic[T]):
    """A stream of server-sent events, each read as `event`; it begins after the one whose id is `after`,
    or where the server has it begin."""

    event: type[T]
    path: str
    after: int | None = 0


Steps = Generator[Call[Any] | Pause, Any, T]


class Group(Generic[C]):
    """Operations that belong together."""

    def __init__(self, connection: C) -> None:
        self._connection: C = connection


def path(template: str, *values: object) -> str:
    """The path, with each `{}` replaced by a value of which no character means anything."""
    return template.format(*(quote(str(value), safe="") for value in values))


def given(**values: Any) -> dict[str, Any]:
    """Those that were given: neither None nor UNSET."""
    return {name: value for name, value in values.items() if value is not None and value is not UNSET}


class _Described:
    """A method that is an operation of the API, by its name in `openapi.json`."""

    def __init__(self, operation_id: str, build: Callable[..., Any]) -> None:
        self.operation_id = operation_id
        self.build = build
        functools.update_wrapper(self, build)  # type: ignore[arg-type]


class Operation(_Described, Generic[P, T]):
    """One call."""

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: Group[Sync], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, group: Group[Async], owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, group: Any, owner: type) -> Any:
        return self if group is None else _bound(self.build, group, lambda call: group._connection.call(call))


class Listing(_Described, Generic[P, T]):
    """A list, read page by page as it is iterated over."""

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: Group[Sync], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, group: Group[Async], owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, group: Any, owner: type) -> Any:
        return self if group is None else _bound(self.build, group, lambda call: group._connection.pages(call))


class Flow(_Described, Generic[P, T]):
    """Several calls, one after the other."""

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: Group[Sync], owner: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, group: Group[Async], owner: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, group: Any, owner: type) -> Any:
        return self if group is None else _bound(self.build, group, lambda steps: group._connection.flow(steps))


class Following(_Described, Generic[P, T]):
    """A stream, taken up again where it was cut off."""

    @overload
    def __get__(self, group: None, owner: type) -> Self: ...
    @overload
    def __get__(self, group: Group[Sync], owner: type) -> Callable[P, Iterator[T]]: ...
    @overload
    def __get__(self, group: Group[Async], owner: type) -> Callable[P, AsyncIterator[T]]: ...
    def __get__(self, group: Any, owner: type) -> Any:
        return self if group is None else _bound(self.build, group, lambda stream: group._connection.stream(stream))


def _bound(build: Callable[..., Any], group: Any, do: Callable[[Any], Any]) -> Callable[..., Any]:
    @functools.wraps(build)
    def method(*args: Any, **kwargs: Any) -> Any:
        return do(build(group, *args, **kwargs))

    return method


def operation(
    operation_id: str,
) -> Callable[[Callable[Concatenate[Any, P], Call[T]]], Operation[P, T]]:
    return lambda build: Operation(operation_id, build)


def listing(
    operation_id: str,
) -> Callable[[Callable[Concatenate[Any, P], Call[Page[T]]]], Listing[P, T]]:
    return lambda build: Listing(operation_id, build)


def flow(build: Callable[Concatenate[Any, P], Steps[T]]) -> Flow[P, T]:
    return Flow("", build)


def following(build: Callable[Concatenate[Any, P], Stream[T]]) -> Following[P, T]:
    return Following("", build)


def following_page(call: Call[Page[T]], page: Page[T]) -> Call[Page[T]] | None:
    """The call for the page after this one. Of the address that came with it only the cursor is used: a server behind
    others may not know by which name it was asked."""
    if page.next is None:
        return None
    [cursor] = parse_qs(urlsplit(page.next).query)["cursor"]
    return replace(call, query={**call.query, "cursor": cursor})
