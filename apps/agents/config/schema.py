"""The document's models: what may be written, and what each key means.

`llms`, `tools`, `agents`, `notifications` and the triggers of `entry_points` are open sets: the entry's `provider` or
`type` names the model that checks it. An editor reads the same models as JSON Schema (`json_schema`). What a later
version of Hector brings is known by name here, so that it is refused as such and never ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, StringConstraints, ValidationError
from pydantic.annotated_handlers import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.config import ExtraValues
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from apps.agents import registry
from apps.agents.policies import ApprovalPolicy
from apps.agents.registry import DEFAULT_CHANNEL, ChannelSpec, Duration, LLMSpec, Spec, ToolSpec, TriggerSpec

NAME = r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"
NOT_YET = "not available in this version of Hector"
MOST_CHANNELS = 50  # of one App

LATER_KEYS: dict[tuple[str | int, ...], set[str]] = {  # of the document itself, and of entries
    (): {"document_stores", "embedders"},
    ("agents",): {"agent_tools"},
    ("entry_points",): {"entry_node"},
}
LATER_TOOLS = {"files", "search"}
LATER_AGENTS = {"sequential", "parallel", "loop", "conditional", "graph"}

Name = Annotated[str, StringConstraints(pattern=NAME)]
"""Letters, digits, `_` and `-`, a letter first, 64 at most: what every model provider accepts as a tool's name."""


# --- Open sets ------------------------------------------------------------------------------------------------------
class OneOf:
    """Marks a value whose `key` names, among `models`, the model that checks it.

    The models are looked up each time, so that what an app registers at start is there.
    """

    def __init__(
        self,
        key: str,
        models: Callable[[], Mapping[str, type[Spec]]],
        *,
        later: Iterable[str] = (),
        default: str | None = None,
        extra: ExtraValues | None = None,
    ) -> None:
        self.key, self.models, self.later, self.default, self.extra = key, models, set(later), default, extra

    def validate(self, value: object) -> Spec:
        if isinstance(value, Spec):
            return value
        if not isinstance(value, dict):
            raise PydanticCustomError("dict_type", "Must be a mapping of keys and values")
        models = self.models()
        kind = value.get(self.key, self.default)
        if isinstance(kind, str) and kind in models:
            return models[kind].model_validate(value, extra=self.extra)
        known = ", ".join(sorted(models))
        if kind is None:
            said = f"Must name one of: {known}"
        elif isinstance(kind, str) and kind in self.later:
            said = f"`{self.key}: {kind}` is {NOT_YET}"
        else:
            said = f"Must be one of: {known}"
        error = PydanticCustomError("unknown_kind", "{said}", {"said": said})
        raise ValidationError.from_exception_data(self.key, [InitErrorDetails(type=error, loc=(self.key,), input=kind)])

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        dump = core_schema.plain_serializer_function_ser_schema(lambda value: value.model_dump(mode="json"))
        return core_schema.no_info_plain_validator_function(self.validate, serialization=dump)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        variants = []
        for kind, model in sorted(self.models().items()):
            variant = model.__get_pydantic_json_schema__(model.__pydantic_core_schema__, handler)
            named = handler.resolve_ref_schema(variant)
            named["properties"][self.key] |= {"const": kind}
            if kind != self.default:
                named["required"] = sorted({*named.get("required", []), self.key})
            variants.append(variant)
        return {"oneOf": variants}


def trigger_specs() -> dict[str, type[TriggerSpec]]:
    return registry.trigger_specs


Trigger = Annotated[TriggerSpec | None, OneOf("type", trigger_specs)]


# --- Agents ---------------------------------------------------------------------------------------------------------
class Limits(Spec):
    """What one task may use. A task that reaches a limit says which, and never counts as completed."""

    requests: Annotated[int, Field(gt=0)] | None = None
    """Requests to a model."""
    tool_calls: Annotated[int, Field(ge=0)] | None = None
    """Tool calls that succeeded."""
    tokens: Annotated[int, Field(gt=0)] | None = None
    """Input and output tokens together."""
    cost_usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """US dollars, by the price of the model."""
    wall_clock: Duration | None = None
    """Time spent running, over all attempts."""
    on_breach: Literal["fail", "ask"] = "fail"
    """What reaching a limit does: the task fails, or waits until people have raised that limit or failed it. Then the
    time is looked at before each request to a model."""
    policy: str = ""
    """With `on_breach: ask`, an entry of `approval_policies`; left out, one approver."""


class Retry(Spec):
    """How an attempt that failed is repeated. What is left out comes from the installation's `--queue-…` settings."""

    max_retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    """Attempts after the first one: with 3, a failing task runs 4 times."""
    initial_delay: Duration | None = None
    """The first wait; each further one doubles it."""
    max_delay: Duration | None = None
    """The longest wait."""


class History(Spec):
    """How much of its session's conversation a task begins with. The session itself keeps all of it."""

    window: Annotated[int, Field(ge=2, le=10_000)] = 200
    """The newest so many messages, in whole tasks: what one task has said is not torn apart."""


class AgentConfig(Spec):
    """What every agent may say."""

    type: str
    """What kind of agent this is."""
    description: str = ""
    """One line for people, and for agents that use this one as a tool."""
    input_schema: dict[str, Any] | None = None
    """JSON Schema of a task's input; other input is refused."""
    retry: Retry = Retry()
    """How a failed attempt is repeated."""
    timeout: Duration | None = None
    """The longest that one attempt may run."""
    trigger: Trigger = None
    """Short for an entry point of the agent's name that has this trigger."""


class LLMAgent(AgentConfig):
    """An agent that a language model drives."""

    type: Literal["llm"] = "llm"
    """A language model decides."""
    llm: str | None = None
    """An entry of `llms`; left out, `defaults.llm`."""
    instruction: str = ""
    """What the model is told before the task's input."""
    tools: list[str] = []
    """Entries of `tools` that the model may call."""
    output_schema: dict[str, Any] | None = None
    """JSON Schema of the result, an object; left out, the result is text."""
    limits: Limits = Limits()
    """What one task may use."""
    history: History = History()
    """What a task with a session is told of the tasks before it."""


class FunctionAgent(AgentConfig):
    """A Python function: a durable job without a model."""

    type: Literal["function"]
    """A Python function does the work."""
    handler: str
    """`package.module.function`, called with the task's input; its package is on HECTOR_FUNCTION_ALLOW."""


AGENTS: Mapping[str, type[AgentConfig]] = {"llm": LLMAgent, "function": FunctionAgent}


def tool_specs() -> dict[str, type[ToolSpec]]:
    return {name: tool_type.spec for name, tool_type in registry.tool_types.items()}


def llm_specs() -> dict[str, type[LLMSpec]]:
    return {name: provider.spec for name, provider in registry.providers.items()}


# --- Entry points ---------------------------------------------------------------------------------------------------
class EntryPointConfig(Spec):
    """What starts an agent's work, and with what."""

    agent: str
    """The entry of `agents` that does the work."""
    trigger: Annotated[TriggerSpec, OneOf("type", trigger_specs)]
    """What starts it."""
    description: str = ""
    """One line for people."""
    input: str | dict[str, Any] | None = None
    """The task's input: texts in it, at any depth, are templates. Left out, what the trigger brings."""
    session: Annotated[str, Field(max_length=2000)] | None = None
    """A template of the task's session."""
    isolation: Literal["isolated", "shared"] = "isolated"
    """Without a `session`, tasks have none (`isolated`), or all have the same, called as the entry point (`shared`)."""
    priority: Annotated[int, Field(ge=-100, le=100)] = 0
    """Of the tasks: the higher, the sooner."""
    max_concurrent: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """How many of the tasks run at a time, on all hosts together. Left out: any number."""
    on_limit: Literal["queue", "skip", "replace"] = "queue"
    """At the limit, a new task waits its turn, is not made, or takes the place of the oldest one, which is stopped."""
    count_waiting: bool = False
    """Whether a task that waits for a person counts to the limit as one that runs."""


# --- The document ---------------------------------------------------------------------------------------------------
class Defaults(Spec):
    """What entries use that do not say it themselves."""

    llm: str | None = None
    """The entry of `llms` for agents that name none."""


def _text(value: object) -> object:
    return str(value) if type(value) is int else value


class Document(Spec):
    """What an App is made of. Applying it is declarative: what it no longer names is removed."""

    version: Annotated[Literal["2"], BeforeValidator(_text)] = "2"
    """The version of this format."""
    name: Name | None = None
    """A name for people; the App is the one that the document is applied to."""
    description: str = ""
    """What this App is for."""
    llms: dict[Name, Annotated[LLMSpec, OneOf("provider", llm_specs)]] = {}
    """Language models, by a name of your own."""
    tools: dict[Name, Annotated[ToolSpec, OneOf("type", tool_specs, later=LATER_TOOLS)]] = {}
    """What agents can do, by the name that the model sees."""
    approval_policies: dict[Name, ApprovalPolicy] = {}
    """Who has to agree to what needs approval, by a name of your own."""
    agents: dict[Name, Annotated[AgentConfig, OneOf("type", lambda: AGENTS, later=LATER_AGENTS, default="llm")]] = {}
    """Agents that take tasks."""
    entry_points: dict[Name, EntryPointConfig] = {}
    """What starts work by itself or by a call, by a name of your own."""
    notifications: Annotated[
        list[Annotated[ChannelSpec, OneOf("type", lambda: registry.channel_specs, default=DEFAULT_CHANNEL)]],
        Field(max_length=MOST_CHANNELS),
    ] = []
    """Who is told what happens, and how."""
    defaults: Defaults = Defaults()
    """For entries that leave something out."""

    def all_entry_points(self) -> dict[str, EntryPointConfig]:
        """With those that agents are short for."""
        short = {
            name: EntryPointConfig(agent=name, trigger=agent.trigger)
            for name, agent in self.agents.items()
            if agent.trigger is not None
        }
        return short | self.entry_points


def model_at(path: tuple[str | int, ...], data: Mapping[str, Any]) -> type[Spec] | None:
    """The model whose keys are expected at this place: the document, an entry of a set, a trigger."""
    if not path:
        return Document
    parent, entry = (Document, path[0]) if len(path) == 2 else (model_at(path[:-1], data), path[-1])
    if parent is None or entry not in parent.model_fields or len(path) not in (2, 3):
        return None
    field = parent.model_fields[str(entry)]
    kind = get_args(field.annotation)[-1] if len(path) == 2 and get_args(field.annotation) else field.annotation
    for mark in [*field.metadata, *getattr(kind, "__metadata__", ())]:
        if isinstance(mark, OneOf):
            value = _value_at(path, data)
            return mark.models().get(value.get(mark.key, mark.default))
    return kind if isinstance(kind, type) and issubclass(kind, Spec) else None


def _value_at(path: tuple[str | int, ...], data: Any) -> Any:
    for part in path:
        data = data[part]
    return data


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12 of the document, with the tool types and providers that are registered."""
    schema = Document.model_json_schema()
    for section in ("llms", "tools", "agents", "entry_points"):
        schema["properties"][section]["additionalProperties"] = False  # a name that does not fit the pattern
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Hector App configuration",
        **{key: value for key, value in schema.items() if key != "title"},
    }
