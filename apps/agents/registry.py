"""The open sets of an agent's parts: tool types and model providers.

Each type is a module that registers itself from `AgentsConfig.ready`; configuration, validation and execution find
it here by the name that the document uses. Adding a type changes nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer

from hector_site.env import parse_duration

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.toolsets import AbstractToolset


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("write a duration such as 30s, 5m or 1h, or a number of seconds")
    seconds = parse_duration(value) if isinstance(value, str) else float(value)
    if not 0 < seconds < 10 * 365 * 86400:
        raise ValueError("a duration is longer than nothing and shorter than ten years")
    return seconds


Duration = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=str | float), PlainSerializer(float)]
"""Seconds; written `500ms`, `30s`, `5m`, `2h`, `1d` or a number."""


class Spec(BaseModel):
    """A part of the document: unknown keys are refused, and a checked part never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ToolSpec(Spec):
    """What every entry of `tools` may say; each tool type adds its own keys."""

    type: str
    description: str = ""
    require_approval: bool | str | list[str] = False
    approval_prompt: str = ""
    idempotent: bool = False
    timeout: Duration | None = None


class Price(Spec):
    """USD per million tokens."""

    input: float
    output: float


class LLMSpec(Spec):
    """What every entry of `llms` may say; each provider adds its own keys."""

    provider: str
    model: str = ""
    temperature: float | None = None
    max_tokens: int | None = None
    timeout: Duration = 60.0
    fallback: str | None = None
    price: Price | None = None


@dataclass(frozen=True)
class BuildContext:
    """What building a model or a toolset may use of its App."""

    app: str
    workdir: Path  # the App's own directory; exists
    resolve: Callable[[str], str]  # text with `${secret:NAME}` and `${env:NAME}` references -> text with their values


@dataclass(frozen=True)
class ToolType:
    name: str
    spec: type[ToolSpec]
    build: Callable[[str, Any, BuildContext], AbstractToolset[Any]]


@dataclass(frozen=True)
class Provider:
    name: str
    spec: type[LLMSpec]
    build: Callable[[Any, BuildContext], Model]


tool_types: dict[str, ToolType] = {}
providers: dict[str, Provider] = {}


def register_tool_type(tool_type: ToolType) -> None:
    tool_types[tool_type.name] = tool_type


def register_provider(provider: Provider) -> None:
    providers[provider.name] = provider



def tool_metadata(name: str, spec: ToolSpec) -> dict[str, Any]:
    """What a toolset puts into `ToolDefinition.metadata["hector"]`, so that the journal knows how to treat a call."""
    return {"hector": {"tool": name, "idempotent": spec.idempotent, "timeout": spec.timeout}}
