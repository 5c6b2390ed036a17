"""`type: ask_human`: a question to people. The task waits; the answer is the result of the call.

With `answer_schema` an answer that does not fit is refused before it is accepted. Who may answer, until when and what
happens otherwise says a `policy`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import model_validator

from apps.agents import registry
from apps.agents.tools.parameters import Parameters

if TYPE_CHECKING:
    from pydantic_ai.toolsets import AbstractToolset

_QUESTION: Final = Parameters(
    {"question": {"type": "string", "description": "All that somebody needs to know who has not followed the work."}}
)


class AskHumanSpec(registry.ToolSpec):
    answer_schema: dict[str, Any] | None = None
    """JSON Schema of an answer; left out, any answer will do."""
    policy: str = ""
    """An entry of `approval_policies`: who may answer; left out, one approver."""

    @model_validator(mode="after")
    def _asks_already(self) -> Self:
        if self.require_approval:
            raise ValueError("a question waits for people anyway: name the policy in `policy`")
        return self

    def policies(self) -> set[str]:
        return {self.policy} if self.policy else set()


async def _never(arguments: dict[str, Any]) -> Any:
    raise AssertionError("a question is asked by ending the run (apps.execution.toolset)")


def build(name: str, spec: AskHumanSpec, context: registry.BuildContext) -> AbstractToolset[Any]:
    from apps.agents.tools.toolset import OneTool

    return OneTool(name, spec, _QUESTION, _never, description="Asks a person a question and waits for the answer.")


def register() -> None:
    registry.register_tool_type(registry.ToolType("ask_human", AskHumanSpec, build))
