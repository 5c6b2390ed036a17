"""What all types of channels have in common, and their registry."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema

from apps.agents import registry
from apps.agents.config.schema import Name
from apps.agents.registry import STORED, ChannelSpec
from apps.tasks.events import EventType

# What happens within a run, many times a second: for its timeline and its stream, not for messages.
_TOO_FINE = ("llm_", "tool_call_")
EVENTS = tuple(kind.value for kind in EventType if not kind.startswith(_TOO_FINE))


def _is_event(text: str, info: ValidationInfo) -> str:
    if text not in EVENTS and info.context != STORED:  # a stored one may be of a version that knew it
        raise ValueError(f"There is no event `{text}` to be told of; there is {', '.join(EVENTS)}")
    return text


EventName = Annotated[str, AfterValidator(_is_event), WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


class NotificationSpec(ChannelSpec):
    """What every entry of `notifications` may say; each type adds its own keys."""

    name: Name | None = None
    """What the channel is called; left out, as its type."""
    events: Annotated[list[EventName], Field(min_length=1)]
    """What it tells of."""
    agents: list[str] = []
    """Only of tasks of these agents; left out, of all."""
    include_payload: bool = False
    """Whether messages hold inputs, results and arguments."""
    enabled: bool = True
    """False: nothing is sent."""

    @property
    def channel(self) -> str:
        return self.name or self.type

    def wants(self, type: str, agent: str, entry_point: str) -> bool:
        """Whether it tells of such an event; `agent` and `entry_point` are its task's, or empty."""
        return type in self.events and (not self.agents or agent in self.agents)

    @property
    def target(self) -> str:
        """Where messages go, as the document says it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Outgoing:
    """A message on its way."""

    id: UUID  # the same in every attempt
    spec: Any
    message: dict[str, Any]
    resolve: Callable[[str], str]  # text with references -> text with their values


@dataclass(frozen=True)
class Outcome:
    """What came of an attempt; without an error the message has arrived."""

    error: str = ""
    status: int | None = None  # of HTTP
    answer: str = ""  # its beginning
    retry_after: float | None = None  # seconds that the receiver asked to wait
    gone: bool = False  # the receiver wants no more messages


@dataclass(frozen=True)
class ChannelType:
    name: str
    spec: type[NotificationSpec]
    # Says in its outcome what the receiver did; raises PermanentError for what is wrong with the configuration.
    send: Callable[[Outgoing], Awaitable[Outcome]]
    at_once: int = 8  # messages on their way to one channel


channel_types: dict[str, ChannelType] = {}


def register(channel_type: ChannelType) -> None:
    channel_types[channel_type.name] = channel_type
    registry.channel_specs[channel_type.name] = channel_type.spec
