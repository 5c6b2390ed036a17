"""A real MCP server of a few tools, in a process of its own: over stdio, or over streamable HTTP with `--port`.

python -m tests.support.mcp_server [--port 9100]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("test tools")


@server.tool()
def echo(text: str) -> str:
    """Says it again."""
    return text


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
async def slow(seconds: float, started: str) -> str:
    """Takes its time, after it has made the file that says it has begun."""
    Path(started).touch()  # noqa: ASYNC240 - a moment, and nothing else waits
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def boom() -> str:
    """Always fails."""
    raise ToolError("the fuse is gone")


@server.tool()
def process() -> dict[str, object]:
    """Says where the server runs."""
    return {"pid": os.getpid(), "cwd": str(Path.cwd()), "env": dict(os.environ)}


@server.tool()
def child(pid_file: str) -> str:
    """Starts a process that outlives the call."""
    started = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    Path(pid_file).write_text(str(started.pid))
    return "started"


@server.tool()
def die() -> str:
    """Takes the whole server down."""
    os._exit(1)


@server.tool()
def header(name: str, context: Context) -> str:
    """The header of the request that carries the call."""
    headers = context.headers or {}
    return str(headers.get(name))


class HttpMcpServer:
    """The server in a process of its own on a free port. Use it as a context manager; it can be killed and started."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.support.mcp_server", "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[2], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < deadline and self._process.poll() is None, "the MCP server did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    port = parser.parse_args().port
    if port is None:
        server.run("stdio")
    else:
        server.run("streamable-http", port=port)


if __name__ == "__main__":
    main()
