"""`AgentSpec`: an agent with everything that it refers to, as a task pins it.

It is plain JSON with secrets by name only. A later version of Hector must be able to load what this one stored:
fields are only ever added, with a default, and keys that are no longer known are passed over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict

from apps.agents.config.schema import (
    AgentConfig,
    Document,
    FunctionAgent,
    History,
    Limits,
    LLMAgent,
    OneOf,
    Retry,
    llm_specs,
    tool_specs,
)
from apps.agents.policies import ApprovalPolicy, reachable
from apps.agents.registry import Duration, LLMSpec, ToolSpec

StoredLLM = Annotated[LLMSpec, OneOf("provider", llm_specs, extra="ignore")]
StoredTool = Annotated[ToolSpec, OneOf("type", tool_specs, extra="ignore")]


class AgentSpec(BaseModel):
    """Everything a worker needs to run an agent, apart from the values of secrets."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    type: str
    description: str = ""
    instruction: str = ""
    llms: list[StoredLLM] = []
    """The model to ask, then its fallbacks."""
    tools: dict[str, StoredTool] = {}
    policies: dict[str, ApprovalPolicy] = {}
    """Those that its tools and limits name, and those that these escalate to."""
    handler: str = ""
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    limits: Limits = Limits()
    history: History = History()
    retry: Retry = Retry()
    timeout: Duration | None = None

    def stored(self) -> dict[str, Any]:
        """As AgentVersion keeps it; `AgentSpec.model_validate` reads it again."""
        return self.model_dump(mode="json")


def digest(spec: AgentSpec) -> str:
    """Names the spec's content. The order of keys counts: a model sees it in the schemas of tools and results."""
    text = json.dumps(spec.stored(), separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def resolve(document: Document, name: str) -> AgentSpec:
    """The spec of an agent of a checked document."""
    agent = document.agents[name]
    common: dict[str, Any] = {field: getattr(agent, field) for field in AgentConfig.model_fields}
    match agent:
        case LLMAgent():
            tools = {tool: document.tools[tool] for tool in agent.tools}
            return AgentSpec(
                name=name,
                instruction=agent.instruction,
                llms=_chain(document, agent.llm or document.defaults.llm),
                tools=tools,
                policies=_policies(document, agent, tools.values()),
                output_schema=agent.output_schema,
                limits=agent.limits,
                history=agent.history,
                **common,
            )
        case FunctionAgent():
            return AgentSpec(name=name, handler=agent.handler, **common)
    raise TypeError(f"{type(agent).__name__} has no spec")


def _policies(document: Document, agent: LLMAgent, tools: Iterable[ToolSpec]) -> dict[str, ApprovalPolicy]:
    named = {policy for tool in tools for policy in tool.policies()} | {agent.limits.policy}
    needed = set().union(*(reachable(name, document.approval_policies) for name in named if name))
    return {name: policy for name, policy in document.approval_policies.items() if name in needed}


def _chain(document: Document, name: str | None) -> list[LLMSpec]:
    chain = []
    while name is not None:
        chain.append(document.llms[name])
        name = document.llms[name].fallback
    return chain
