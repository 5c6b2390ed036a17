"""`type: function`: a Python function of an allowed package; schema and description from its signature and docstring.

A plain function runs in a thread, which is stopped when the call times out or the task is cancelled, as far as that
can be done (`apps.agents.threads`); a long function is better a coroutine.

An exception is a failed call that the model reads (its type and text, no traceback), unless it says that the attempt
itself has failed: RetryableError and PermanentError of `apps.agents.errors`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from apps.agents import handlers, registry
from apps.agents.threads import in_thread

if TYPE_CHECKING:
    from pydantic_ai.toolsets import AbstractToolset


class FunctionSpec(registry.ToolSpec):
    uses_session: ClassVar[bool] = True

    handler: str


def build(name: str, spec: FunctionSpec, context: registry.BuildContext) -> AbstractToolset[Any]:
    from pydantic_ai.tools import Tool
    from pydantic_ai.toolsets import FunctionToolset

    tool: Tool[Any] = Tool(
        guarded(handlers.load(spec.handler)),
        name=name,
        description=spec.description or None,
        metadata=registry.tool_metadata(name, spec),
    )
    return FunctionToolset([tool], id=name)


def guarded(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as a coroutine function of the same signature whose faults are told to the model."""
    from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelRetry, ToolFailed

    from apps.agents.errors import HectorToolError

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            if inspect.iscoroutinefunction(function):
                return await function(*args, **kwargs)
            return await in_thread(functools.partial(function, *args, **kwargs))
        except (HectorToolError, ModelRetry, ToolFailed, ApprovalRequired, CallDeferred):
            raise
        except Exception as error:  # a function may raise anything; none of it is a fault of the run
            raise ToolFailed(f"{type(error).__name__}: {error}") from error

    return call


def register() -> None:
    registry.register_tool_type(registry.ToolType("function", FunctionSpec, build))
