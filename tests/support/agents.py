"""A document with the agents that tests run."""

from __future__ import annotations

from typing import Any

from apps.agents.config.apply import apply
from apps.tasks import lifecycle
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Task
from apps.tenancy.models import App

QUICK = {"max_retries": 2, "initial_delay": "20ms", "max_delay": "50ms"}


def function(name: str, **options: Any) -> dict[str, Any]:
    return {"type": "function", "handler": f"tests.support.functions.{name}", "retry": QUICK, **options}


def scripted(*turns: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"provider": "scripted", "script": list(turns), **options}


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"calls": [{"tool": tool, "arguments": arguments}]}


def document(
    agents: dict[str, Any], llms: dict[str, Any] | None = None, tools: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {"version": "2", "name": "test", "agents": agents, "llms": llms or {}, "tools": tools or {}}


def one_llm_agent(
    *turns: dict[str, Any], tools: dict[str, Any] | None = None, llm: dict[str, Any] | None = None, **options: Any
) -> dict[str, Any]:
    """A document with one agent, `agent`, that may use all of the tools."""
    agent = {"type": "llm", "llm": "main", "tools": list(tools or {}), "retry": QUICK, **options}
    return document({"agent": agent}, {"main": llm or scripted(*turns)}, tools)


def function_tool(name: str, **options: Any) -> dict[str, Any]:
    return {"type": "function", "handler": f"tests.support.functions.{name}", **options}


def submit(app: App, agent: str = "agent", value: Any = "hello", **options: Any) -> Task:
    return lifecycle.submit(app, NewTask(agent, value, **options), by="tests")


__all__ = ["QUICK", "apply", "call", "document", "function", "function_tool", "one_llm_agent", "scripted", "submit"]
