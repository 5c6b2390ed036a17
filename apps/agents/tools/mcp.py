"""`type: mcp`: the tools of an MCP server, over streamable HTTP (`url`) or as a child process (`command`).

The connection is made with the first use, kept open as long as the toolset is entered, and made anew after it broke.
A server that cannot be reached fails the attempt in a way that may pass. One that goes away during a call fails that
call, for nobody knows whether the tool ran; the model reads so. What a tool itself reports as its error is the model's
to read too.

Over HTTP the rules of `apps.tenancy.outbound` hold for the address, and redirects are not followed. A child process
runs in the App's directory with the environment of a command tool (the MCP library adds `LOGNAME`, `SHELL`, `TERM` and
`USER`), without its limits, and dies with its whole process group when the connection ends or the worker does. What it
writes to standard error is thrown away.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import model_validator

from apps.agents import registry
from apps.agents.tools import programs
from apps.agents.tools.processes import UNLIMITED, Limits, supervised

if TYPE_CHECKING:
    from fastmcp.client.transports import ClientTransport
    from pydantic_ai.toolsets import AbstractToolset

CONNECT_TIMEOUT: Final = 20.0
CALL_TIMEOUT: Final = 300.0  # seconds, where the tool has no `timeout` of its own
GRACE: Final = 1.0  # seconds; the MCP library gives up on a process after two


class McpSpec(registry.ToolSpec):
    url: str | None = None
    headers: dict[str, str] = {}
    command: str | None = None
    args: list[str] = []
    env: programs.Variables = {}
    filter: list[str] | None = None  # names of the tools to offer; all without it

    @model_validator(mode="after")
    def _is_one_form(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("give the `url` of a server, or the `command` that starts one")
        if self.url is None and self.headers:
            raise ValueError("`headers` are for a server with a `url`")
        if self.command is None and (self.args or self.env):
            raise ValueError("`args` and `env` are for a server with a `command`")
        if self.url is not None and not self.url.startswith(("http://", "https://", "${")):
            raise ValueError("write an address that begins with http:// or https://")
        return self


def build(name: str, spec: McpSpec, context: registry.BuildContext) -> AbstractToolset[Any]:
    from apps.agents.tools.mcp_toolset import McpTools

    return McpTools(name, spec, lambda: _http(spec, context) if spec.url else _stdio(spec, context))


def _http(spec: McpSpec, context: registry.BuildContext) -> ClientTransport:
    import httpx2
    from fastmcp.client.transports import StreamableHttpTransport

    from apps.tenancy.outbound import GuardedTransport

    def client(
        headers: dict[str, str] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
        follow_redirects: bool = False,  # asked for by the library, and declined: see the module
    ) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=GuardedTransport(),
            headers=headers,
            auth=auth,
            timeout=httpx2.Timeout(CONNECT_TIMEOUT, read=None),  # the session has a timeout of its own
            trust_env=False,
        )

    headers = {name: context.resolve(value) for name, value in spec.headers.items()}
    return StreamableHttpTransport(context.resolve(spec.url or ""), headers=headers, httpx_client_factory=client)


def _stdio(spec: McpSpec, context: registry.BuildContext) -> ClientTransport:
    from fastmcp.client.transports import StdioTransport

    env = programs.environment(spec.env, context)
    argv = [programs.locate(spec.command or "", context, env["PATH"]), *spec.args]
    unlimited = Limits(UNLIMITED, UNLIMITED, UNLIMITED)
    program, *arguments = supervised(argv, unlimited, leash="parent", grace=GRACE)
    return StdioTransport(
        program, arguments, env=env, cwd=str(context.workdir), keep_alive=False, log_file=Path(os.devnull)
    )


def register() -> None:
    registry.register_tool_type(registry.ToolType("mcp", McpSpec, build))
