"""`type: session`: what the model keeps for later tasks of the same session: the tools `remember` and `recall`.

What is remembered is written with the record of the call, in one transaction: a call that was cut short has had no
effect, so it simply runs again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from apps.agents import registry
from apps.agents.session import NoSession, SessionState, session

if TYPE_CHECKING:
    from pydantic_ai.toolsets import AbstractToolset


class SessionSpec(registry.ToolSpec):
    uses_session: ClassVar[bool] = True

    idempotent: bool = True
    """True: the tool may be run again after a crash without asking."""


def remember(key: str, value: Any = None) -> str:
    """Keeps a value under a key, for later in this conversation and for those that follow it.

    A value that was kept under the key before is replaced; null forgets it.
    """
    state = _state()
    if value is None:
        return "Forgotten." if state.pop(key, None) is not None else "There was nothing under this key."
    state[key] = value
    return "Kept."


def recall(key: str | None = None) -> Any:
    """Tells what is kept under a key, null if nothing is; without a key, all that is kept."""
    return dict(_state()) if key is None else _state().get(key)


def _state() -> SessionState:
    """Raises ToolFailed, which the model reads, if the task is in no session."""
    from pydantic_ai.exceptions import ToolFailed

    try:
        return session()
    except NoSession:
        raise ToolFailed("This task is in no session: nothing is kept for later ones.") from None


def build(name: str, spec: SessionSpec, context: registry.BuildContext) -> AbstractToolset[Any]:
    from pydantic_ai.tools import Tool
    from pydantic_ai.toolsets import FunctionToolset

    from apps.agents.tools.function import guarded

    metadata = registry.tool_metadata(name, spec)
    tools: list[Tool[Any]] = [Tool(guarded(function), metadata=metadata) for function in (remember, recall)]
    return FunctionToolset(tools, id=name)


def register() -> None:
    registry.register_tool_type(registry.ToolType("session", SessionSpec, build))
