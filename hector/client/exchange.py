"""What is sent, what is tried again and how answers are read; sending and waiting are left to whoever drives it.

Tried again is whatever did not reach the server (no connection was made), and what does the same however often it
arrives (reading, and what carries an Idempotency-Key) where no answer came or it was 429, 502, 503 or 504.
`Retry-After` is honoured, up to `LONGEST_PAUSE`. Everything else is told, once.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Generator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

import httpx2
from pydantic import TypeAdapter

from hector.client.calls import Call, Pause, Steps, Stream
from hector.client.errors import APIError, HectorError, Unreachable, error_of

T = TypeVar("T")
AGAIN = {429, 502, 503, 504}
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0  # seconds between tries
PATIENCE_OF_STREAMS = 45.0  # seconds without a word; Hector says something every 15
JSON = "application/json"
Request = dict[str, Any]  # arguments of httpx's `request` and `stream`
Exchange = Generator[Request | Pause, httpx2.Response, T]  # a failed request is thrown in


@dataclass(frozen=True)
class Options:
    """Where, as whom, and how patiently."""

    url: str
    token: str | None
    app: str | None
    timeout: float  # seconds, of one request
    retries: int

    def headers(self) -> dict[str, str]:
        headers = {"User-Agent": "hector-python"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.app:
            headers["X-Hector-App"] = self.app
        return headers


class Tries:
    """How often something was tried, and how long to wait before it is tried again."""

    def __init__(self, options: Options, *, repeatable: bool) -> None:
        self._options, self._repeatable = options, repeatable
        self._failed = 0

    def pause(self, error: HectorError) -> Pause:
        """Raises the error where it is not tried again."""
        unsent = isinstance(error.__cause__, httpx2.ConnectError | httpx2.ConnectTimeout)
        for_now = isinstance(error, Unreachable) or (isinstance(error, APIError) and error.status in AGAIN)
        if not (unsent or (for_now and self._repeatable)) or self._failed >= self._options.retries:
            raise error
        self._failed += 1
        pause = FIRST_PAUSE * 2 ** (self._failed - 1) * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        asked = error.retry_after if isinstance(error, APIError) else None
        return Pause(min(LONGEST_PAUSE, max(pause, asked or 0.0)))

    def went_well(self) -> None:
        self._failed = 0


def exchange(call: Call[T], options: Options) -> Exchange[T]:
    """One call, tried as often as it may be."""
    tries = Tries(options, repeatable=call.repeatable or call.method == "GET")
    while True:
        try:
            return _read(call, (yield _request(call, options)))
        except httpx2.RequestError as error:
            pause = tries.pause(unreachable(options, error))
        except APIError as error:
            pause = tries.pause(error)
        yield pause


def exchanges(steps: Steps[T], options: Options) -> Exchange[T]:
    """All calls of a flow."""
    answer: Any = None
    try:
        while True:
            step = steps.send(answer)
            answer = (yield step) if isinstance(step, Pause) else (yield from exchange(step, options))
    except StopIteration as end:
        result: T = end.value
        return result


class Subscription:
    """A stream of server-sent events, through any number of answers, until there are no more."""

    def __init__(self, stream: Stream[Any], options: Options) -> None:
        self.over = False
        self._stream, self._options = stream, options
        self._tries = Tries(options, repeatable=True)
        self._seen = self._id = stream.after
        self._data: list[str] = []

    def request(self) -> Request:
        """For what comes after the events that were seen."""
        self._data = []
        told = {} if self._seen is None else {"Last-Event-ID": str(self._seen)}
        headers = {"Accept": "text/event-stream"} | told
        patience = httpx2.Timeout(self._options.timeout, read=max(self._options.timeout, PATIENCE_OF_STREAMS))
        return {"method": "GET", "url": self._stream.path, "headers": headers, "timeout": patience}

    def opened(self, response: httpx2.Response) -> None:
        """Raises for an answer that is an error; it must have been read."""
        raise_for(response)
        self.over = response.status_code == 204

    def take(self, line: str) -> list[Any]:
        """The event that the line ends, if it does."""
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and value.isdecimal():
            self._id = int(value)
        elif not line:
            self._seen = self._id
            if not self._data:
                return []
            data, self._data = "\n".join(self._data), []
            self._tries.went_well()
            return [_reader(self._stream.event).validate_json(data)]
        return []

    def pause(self, error: Exception | None = None) -> Pause:
        """Before the next answer. Raises the error where there is to be none."""
        if isinstance(error, httpx2.RequestError):
            return self._tries.pause(unreachable(self._options, error))
        return self._tries.pause(error) if isinstance(error, APIError) else Pause(FIRST_PAUSE)


def _request(call: Call[Any], options: Options) -> Request:
    headers = {"Accept": JSON, **call.headers}
    content = None
    if call.body is not None:
        headers.setdefault("Content-Type", JSON)
        content = json.dumps(call.body, default=_as_json)
    return {
        "method": call.method,
        "url": call.path,
        "params": {name: _in_query(value) for name, value in call.query.items()},
        "content": content,
        "headers": headers,
        "timeout": httpx2.Timeout(options.timeout, read=options.timeout + call.patience),
    }


def _in_query(value: Any) -> Any:
    if isinstance(value, list | tuple | set):
        return [_in_query(inner) for inner in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else value


def _as_json(value: Any) -> Any:
    """What JSON has no form of, but parameters may be. Raises TypeError for anything else."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence | Set):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


_reader: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def _read(call: Call[T], response: httpx2.Response) -> T:
    raise_for(response)
    nothing = call.answer is type(None)
    result: T = None if nothing else _reader(call.answer).validate_json(response.content)  # type: ignore[assignment]
    return result


def raise_for(response: httpx2.Response) -> None:
    """Raises the APIError that an answer is, if it is one."""
    if response.status_code < 400:
        return
    try:
        problem = response.json()
    except ValueError:  # not from Hector, but from something in between
        problem = None
    headers = {name.lower(): value for name, value in response.headers.items()}
    raise error_of(response.status_code, problem if isinstance(problem, dict) else {}, headers)


def unreachable(options: Options, error: httpx2.RequestError) -> Unreachable:
    told = Unreachable(f"{options.url} gives no answer: {str(error) or type(error).__name__}")
    told.__cause__ = error
    return told
