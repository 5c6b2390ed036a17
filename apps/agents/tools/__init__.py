"""The tool types, one module each; each builds a Pydantic AI toolset from its entry of `tools`.

Registering is cheap: Pydantic AI and the MCP client are imported with the first toolset that is built.
"""

from __future__ import annotations

from apps.agents.tools import ask_human, command, function, http, mcp, session


def register() -> None:
    for tool_type in (ask_human, command, function, http, mcp, session):
        tool_type.register()
