"""A model server on this machine that says what a test tells it to, faults included, and remembers what it was asked.

It speaks OpenAI's chat-completions protocol (`POST …/chat/completions`, not streaming), and enough of Anthropic's
Messages and Gemini's generateContent for an answer of text and tool calls. To play with it by hand:

    python -m tests.support.model_server --port 9000
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Call = tuple[str, Mapping[str, Any] | str]  # a tool and its arguments; a str is sent as it is, valid JSON or not


@dataclass(frozen=True)
class Reply:
    """One answer of the server."""

    text: str | None = None
    calls: Sequence[Call] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # instead of an answer in the protocol
    cut: bool = False  # the connection breaks in the middle of the body
    hang: bool = False  # no answer, ever
    tokens: tuple[int, int] = (11, 7)


def says(text: str, *, tokens: tuple[int, int] = (11, 7)) -> Reply:
    return Reply(text=text, tokens=tokens)


def calls(*wanted: Call, tokens: tuple[int, int] = (11, 7)) -> Reply:
    return Reply(calls=wanted, tokens=tokens)


def malformed_arguments(tool: str) -> Reply:
    return calls((tool, '{"city": "Ber'))


def error(status: int, message: str = "an error", **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "test", "code": None}}).encode()
    return Reply(status=status, headers=headers, body=body)


def rate_limited(retry_after: float | datetime) -> Reply:
    """A 429; `retry_after` is a number of seconds or an instant, for both ways to write the header."""
    when = format_datetime(retry_after, usegmt=True) if isinstance(retry_after, datetime) else str(retry_after)
    return error(429, "too many requests", **{"Retry-After": when})


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def not_json() -> Reply:
    return Reply(body=b"<html>not a model</html>")


HANG = Reply(hang=True)
CUT = Reply(text="never arrives whole", cut=True)


@dataclass(frozen=True)
class Received:
    """A request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def messages(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.body["messages"]
        return found


class ModelServer:
    """Answers with the replies in order; past the end the last one repeats. Use it as a context manager."""

    def __init__(self, *replies: Reply, port: int = 0) -> None:
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._replies = list(replies) or [says("ok")]
        self.requests: list[Received] = []
        self._arrived = threading.Condition(self._lock)
        self._http = _Http(self, port)

    @property
    def url(self) -> str:
        """What `base_url` of an openai entry is."""
        return f"{self.root}/v1"

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def script(self, *replies: Reply) -> None:
        """From now on the answers are these."""
        with self._lock:
            self._replies = list(replies)

    def wait_for_requests(self, number: int, within: float = 10) -> None:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.requests) >= number, within), "no request arrived"

    def next_reply(self, received: Received) -> Reply:
        with self._arrived:
            self.requests.append(received)
            self._arrived.notify_all()
            return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]

    def wait_until_closed(self) -> None:
        self._closing.wait()

    def __enter__(self) -> Self:
        threading.Thread(target=self._http.serve_forever, args=(0.02,), name="model server", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._http.shutdown()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, model_server: ModelServer, port: int) -> None:
        self.model_server = model_server
        super().__init__(("127.0.0.1", port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is not worth a traceback."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_POST(self) -> None:
        length = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.loads(self.rfile.read(length) or b"null")
        reply = self.server.model_server.next_reply(Received(self.path, headers, body))
        if reply.hang:
            self.server.model_server.wait_until_closed()
            self.close_connection = True
            return
        content = reply.body if reply.body is not None else json.dumps(self._answer(reply, body)).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Type": "application/json", **reply.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if reply.cut:
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.wfile.write(content)

    def _answer(self, reply: Reply, body: Any) -> dict[str, Any]:
        if self.path.endswith("/messages"):
            return _anthropic(reply)
        if ":generateContent" in self.path:
            return _gemini(reply)
        return _openai(reply, body["model"], len(self.server.model_server.requests))

    def log_message(self, format: str, *args: Any) -> None:
        """Tests look at `requests`."""


def _openai(reply: Reply, model: str, number: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}_{index}",
                "type": "function",
                "function": {
                    "name": tool,
                    "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments),
                },
            }
            for index, (tool, arguments) in enumerate(reply.calls)
        ]
    asked, answered = reply.tokens
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if reply.calls else "stop"}],
        "usage": {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered},
    }


def _anthropic(reply: Reply) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text is not None else []
    content += [
        {"type": "tool_use", "id": f"toolu_{index}", "name": tool, "input": arguments}
        for index, (tool, arguments) in enumerate(reply.calls)
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": content,
        "stop_reason": "tool_use" if reply.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": reply.tokens[0], "output_tokens": reply.tokens[1]},
    }


def _gemini(reply: Reply) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": reply.text}] if reply.text is not None else []
    parts += [{"functionCall": {"name": tool, "args": arguments}} for tool, arguments in reply.calls]
    asked, answered = reply.tokens
    return {
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {
            "promptTokenCount": asked,
            "candidatesTokenCount": answered,
            "totalTokenCount": asked + answered,
        },
        "modelVersion": "gemini-test",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="A model server that answers every request with the same text.")
    parser.add_argument("--port", type=int, default=9000)
    parser.add_argument("--text", default="Hello from the test server.")
    options = parser.parse_args()
    with ModelServer(says(options.text), port=options.port) as server:
        print(f"base_url: {server.url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.wait_until_closed()


if __name__ == "__main__":
    main()
