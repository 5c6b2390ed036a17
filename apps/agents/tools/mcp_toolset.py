"""The toolset behind `type: mcp`: Pydantic AI's, with a connection that is replaced when it broke."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import structlog
from pydantic_ai import ModelRetry, RunContext, ToolFailed
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool

from apps.agents import registry
from apps.agents.errors import HectorToolError, PermanentError, RetryableError
from apps.agents.tools.mcp import CALL_TIMEOUT, CONNECT_TIMEOUT, McpSpec
from apps.agents.tools.outcomes import CallFailed
from apps.tenancy.outbound import AddressRefused

if TYPE_CHECKING:
    from fastmcp.client.transports import ClientTransport

log = structlog.get_logger(__name__)


class McpTools(AbstractToolset[Any]):
    def __init__(self, name: str, spec: McpSpec, transport: Callable[[], ClientTransport]) -> None:
        self._name = name
        self._spec = spec
        self._transport = transport
        self._connecting = asyncio.Lock()
        self._users = 0
        self._server: MCPToolset[Any] | None = None  # entered

    @property
    def id(self) -> str:
        return self._name

    async def __aenter__(self) -> Self:
        self._users += 1
        return self

    async def __aexit__(self, *args: object) -> None:
        self._users -= 1
        if self._users == 0 and self._server is not None:
            await self._hang_up(self._server)

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        server = await self._connected()
        try:
            found = await server.get_tools(ctx)
        except Exception as error:  # whatever a broken connection makes the libraries raise
            await self._hang_up(server)
            raise self._unreachable(error) from error
        wanted = list(found) if self._spec.filter is None else self._spec.filter
        if missing := set(wanted) - found.keys():
            raise PermanentError("bad_config", f"the MCP server {self._name} has no tool {min(missing)}")
        gated = self._spec.requirement()
        if gated and (missing := set(gated.tools) - found.keys()):  # a name that is mistyped must not let its tool run
            raise PermanentError(
                "bad_config", f"require_approval names {min(missing)}, which {self._name} does not have"
            )
        return {name: self._marked(found[name]) for name in wanted}

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        server = await self._connected()
        try:
            return await server.call_tool(name, tool_args, ctx, tool)
        except ToolFailed:
            raise
        except Exception as error:  # whatever a broken connection makes the libraries raise
            if isinstance(error, ModelRetry) and await self._answers(server):
                raise ToolFailed(error.message) from error  # the server refused the call
            await self._hang_up(server)
            raise ToolFailed(
                f"the connection to the MCP server {self._name} broke during the call; the tool may have run"
            ) from error

    def _marked(self, tool: ToolsetTool[Any]) -> ToolsetTool[Any]:
        metadata = (tool.tool_def.metadata or {}) | registry.tool_metadata(self._name, self._spec)
        return replace(tool, toolset=self, tool_def=replace(tool.tool_def, metadata=metadata))

    async def _connected(self) -> MCPToolset[Any]:
        async with self._connecting:
            if self._server is None:
                try:
                    self._server = await self._new_connection().__aenter__()
                except Exception as error:  # whatever an unreachable server makes the libraries raise
                    raise self._unreachable(error) from error
            return self._server

    def _new_connection(self) -> MCPToolset[Any]:
        own = self._spec.timeout  # kept by whoever calls the tool; here only a limit for a server that hangs
        return MCPToolset(
            self._transport(),
            id=self._name,
            tool_error_behavior="failed",
            init_timeout=CONNECT_TIMEOUT,
            read_timeout=own + CONNECT_TIMEOUT if own else CALL_TIMEOUT,
        )

    async def _answers(self, server: MCPToolset[Any]) -> bool:
        """Whether the connection still works."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await server.client.list_tools()  # not every protocol version has a ping
                return True
        except Exception:  # noqa: BLE001 - whatever a broken connection makes the libraries raise
            return False

    async def _hang_up(self, server: MCPToolset[Any]) -> None:
        if self._server is not server:
            return  # somebody else did
        self._server = None
        try:
            await server.__aexit__(None, None, None)
        except Exception as error:  # noqa: BLE001 - the connection is given up either way
            log.debug("mcp_hang_up", server=self._name, error=str(error))

    def _unreachable(self, error: Exception) -> HectorToolError:
        for link in _links(error):
            if isinstance(link, HectorToolError):
                return link
            if isinstance(link, AddressRefused | CallFailed):
                return PermanentError("mcp_refused", f"the MCP server {self._name}: {link}")
        return RetryableError("mcp_unreachable", f"the MCP server {self._name} cannot be reached: {error}")


def _links(error: BaseException) -> Iterator[BaseException]:
    """The error, what led to it, and the members of its groups, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        link = waiting.pop()
        if id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        members = link.exceptions if isinstance(link, BaseExceptionGroup) else ()
        waiting += [found for found in (link.__cause__, link.__context__, *members) if found is not None]
