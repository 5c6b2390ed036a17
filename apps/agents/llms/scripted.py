"""`provider: scripted`: answers that the document itself holds, so that nothing needs a key or a network.

A task's n-th model request gets the n-th turn that applies; past the end the last one repeats. A turn with `when`
applies if its regular expression is found in the last user message. The model object is shared between tasks and
keeps no state: the driver puts the number of the request into `request_number` (a failed request counts, or a scripted
error would repeat for ever); where nobody did, the number of model responses in the history stands in for it.
Usage is a count of words, so that tokens, costs and limits have something to show.
"""

from __future__ import annotations

import re
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, field_validator, model_validator

from apps.agents import registry

if TYPE_CHECKING:
    from pydantic_ai.models import Model

request_number: ContextVar[int] = ContextVar("scripted_request_number")
"""Which model request of its task this is, counted from 0."""


class Call(registry.Spec):
    """One tool call of a turn."""

    tool: str
    arguments: dict[str, Any] = {}


class Fault(registry.Spec):
    """The HTTP error that a turn answers with."""

    status: int = Field(ge=400, le=599)
    retry_after: registry.Duration | None = None


class Turn(registry.Spec):
    """One answer: `text`, `calls` (with or without text), `output` (the structured answer) or `error`."""

    text: str | None = None
    calls: list[Call] = []
    output: dict[str, Any] | None = None
    error: Fault | None = None
    delay: registry.Duration | None = None
    when: str | None = None

    @field_validator("when")
    @classmethod
    def _is_a_pattern(cls, when: str | None) -> str | None:
        try:
            re.compile(when or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return when

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        answers = [self.text is not None or bool(self.calls), self.output is not None, self.error is not None]
        if answers.count(True) != 1:
            raise ValueError("a turn has `text` or `calls` (or both), or `output`, or `error`")
        return self


class ScriptedSpec(registry.LLMSpec):
    script: list[Turn] = Field(min_length=1)


def build(spec: ScriptedSpec, context: registry.BuildContext) -> Model:
    from apps.agents.llms.scripted_model import ScriptedModel

    return ScriptedModel(spec)


def register() -> None:
    registry.register_provider(registry.Provider("scripted", ScriptedSpec, build))
