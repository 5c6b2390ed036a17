"""The open sets of a document's parts: tool types, model providers, channel types and triggers.

Each type is a module that registers itself from an `AppConfig.ready`; configuration, validation and execution find
it here by the name that the document uses. Adding a type changes nothing else.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from hector_site.env import parse_duration

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_ai.models import Model
    from pydantic_ai.toolsets import AbstractToolset
    from pydantic_core import CoreSchema


def _seconds(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("write a duration such as 30s, 5m or 1h, or a number of seconds")
    seconds = parse_duration(value) if isinstance(value, str) else float(value)
    if not 0 < seconds < 10 * 365 * 86400:
        raise ValueError("a duration is longer than nothing and shorter than ten years")
    return seconds


Duration = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=str | float), PlainSerializer(float)]
"""Seconds; written `500ms`, `30s`, `5m`, `2h`, `1d` or a number."""


STORED = {"stored": True}  # the context in which a spec is read that was checked when it was written


class Spec(BaseModel):
    """A part of the document: unknown keys are refused, and a checked part never changes.

    The string below a field is its description in the document's JSON Schema.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Pydantic's own `use_attribute_docstrings` reads the source of all models whenever a process starts."""
        schema = handler(core_schema)
        keys = handler.resolve_ref_schema(schema)["properties"]
        for model in reversed([base for base in cls.__mro__ if issubclass(base, Spec)]):
            for field, text in _strings_below_fields(model):
                keys[field]["description"] = text
        return schema


def _strings_below_fields(model: type[Spec]) -> Iterator[tuple[str, str]]:
    [definition] = ast.parse(inspect.getsource(model)).body
    assert isinstance(definition, ast.ClassDef)
    for pair in pairwise(definition.body):
        match pair:
            case ast.AnnAssign(target=ast.Name(id=field)), ast.Expr(value=ast.Constant(value=str(text))):
                yield field, inspect.cleandoc(text)


class Requirement(Spec):
    """Which calls people must approve, and by which policy."""

    when: str = ""
    """A condition in CEL on `args`, `tool`, `agent` and `task`, such as `args.amount > 100`; left out, every call."""
    policy: str = ""
    """An entry of `approval_policies`; left out, one approver."""
    tools: list[str] = []
    """Names of an MCP server's tools; left out, all of them."""


class ToolSpec(Spec):
    """What every entry of `tools` may say; each tool type adds its own keys."""

    uses_session: ClassVar[bool] = False  # whether its calls find the state of the session (`apps.agents.session`)

    type: str
    """What kind of tool this is."""
    description: str = ""
    """Tells the model what the tool does and when to use it."""
    require_approval: bool | str | list[str] | Requirement = False
    """Whether people must approve calls: all (true, or the name of a policy), those of some tools of an MCP server
    (their names), or those that a condition is true of."""
    approval_prompt: str = ""
    """What these people are asked."""
    on_reject: Literal["continue", "fail"] = "continue"
    """What a rejected call does: the model is told and goes on, or the task fails."""
    risk: Literal["low", "medium", "high"] | None = None
    """How much can go wrong, for those who decide."""
    idempotent: bool = False
    """True: the tool may be run again after a crash without asking."""
    timeout: Duration | None = None
    """The longest that one call may take."""

    def policies(self) -> set[str]:
        """The approval policies that it names."""
        requirement = self.requirement()
        return {requirement.policy} if requirement and requirement.policy else set()

    def requirement(self) -> Requirement | None:
        """Which calls people must approve; None: none."""
        match self.require_approval:
            case bool(required):
                return Requirement() if required else None
            case str(policy):
                return Requirement(policy=policy)
            case list(tools):
                return Requirement(tools=tools) if tools else None
            case requirement:
                return requirement


class Price(Spec):
    """USD per million tokens."""

    input: float = Field(ge=0)
    """Of what is sent to the model."""
    output: float = Field(ge=0)
    """Of what the model answers."""


class LLMSpec(Spec):
    """What every entry of `llms` may say; each provider adds its own keys."""

    provider: str
    """Who serves the model."""
    model: str = ""
    """The model's name at the provider."""
    temperature: float | None = None
    """How freely the model answers; left out, the provider's default."""
    max_tokens: int | None = Field(default=None, gt=0)
    """The longest answer."""
    timeout: Duration = 60.0
    """The longest wait for one answer."""
    fallback: str | None = None
    """Another entry of `llms`, asked when this one fails."""
    price: Price | None = None
    """For costs; known models are priced without it."""


class ChannelSpec(Spec):
    """What an entry of `notifications` is here; `apps.triggers.notifications` has what all of them may say."""

    references: ClassVar[frozenset[str]] = frozenset()  # the keys that `${secret:NAME}` is resolved in

    type: str
    """How messages are sent."""


class TriggerSpec(Spec):
    """What every `trigger` may say; each type adds its own keys (`apps.triggers.entry_points`)."""

    references: ClassVar[frozenset[str]] = frozenset()  # the keys that `${secret:NAME}` is resolved in

    type: str
    """What starts work here."""

    @property
    def zone(self) -> tzinfo:
        """The time zone that its times are told in."""
        return UTC


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
channel_specs: dict[str, type[ChannelSpec]] = {}  # by type
trigger_specs: dict[str, type[TriggerSpec]] = {}  # by type
DEFAULT_CHANNEL = "webhook"


def register_tool_type(tool_type: ToolType) -> None:
    tool_types[tool_type.name] = tool_type


def register_provider(provider: Provider) -> None:
    providers[provider.name] = provider


def tool_metadata(name: str, spec: ToolSpec) -> dict[str, Any]:
    """What a toolset puts into `ToolDefinition.metadata["hector"]`, so that the journal knows how to treat a call."""
    return {"hector": {"tool": name, "idempotent": spec.idempotent, "timeout": spec.timeout}}
