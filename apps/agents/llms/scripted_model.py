"""The model that answers from a script; `apps.agents.llms.scripted` says how."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Final

from pydantic_ai import exceptions as ai
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from apps.agents.llms.scripted import Fault, ScriptedSpec, Turn, request_number

_CATEGORIES: Final[dict[int, Any]] = {
    400: ai.ModelRequestRejectedError,
    401: ai.ModelAuthenticationError,
    402: ai.ModelQuotaExceededError,
    403: ai.ModelAuthenticationError,
    404: ai.ModelNotFoundError,
    422: ai.ModelRequestRejectedError,
    429: ai.ModelRateLimitError,
    503: ai.ModelUnavailableError,
    529: ai.ModelOverloadedError,
}


class ScriptedModel(Model):
    """Answers from a script, and keeps no state of its own."""

    def __init__(self, spec: ScriptedSpec) -> None:
        super().__init__(settings=ModelSettings(request_timeout=spec.timeout))
        self._name = spec.model or "scripted"
        self._turns = [(re.compile(turn.when) if turn.when else None, turn) for turn in spec.script]

    @property
    def model_name(self) -> str:
        return self._name

    @property
    def system(self) -> str:
        return "scripted"

    @property
    def provider(self) -> None:
        return None

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        _, parameters = self.prepare_request(model_settings, model_request_parameters)
        number = request_number.get(None)
        if number is None:
            number = sum(isinstance(message, ModelResponse) for message in messages)
        turn = self._turn(number, messages)
        if turn.delay:
            await asyncio.sleep(turn.delay)
        if turn.error:
            raise self._http_error(turn.error)
        parts = _parts(turn, number, parameters)
        return ModelResponse(
            parts=parts,
            model_name=self._name,
            provider_name=self.system,
            usage=RequestUsage(
                input_tokens=sum(map(_words_of, messages)),
                output_tokens=sum(_words(_content(part)) for part in parts),
            ),
            finish_reason="tool_call" if turn.calls else "stop",
        )

    def _turn(self, number: int, messages: list[ModelMessage]) -> Turn:
        said = _last_user_message(messages)
        turns = [turn for pattern, turn in self._turns if pattern is None or pattern.search(said)]
        if not turns:
            raise ai.UserError(f"No turn of the script of {self._name!r} applies to this message")
        return turns[min(number, len(turns) - 1)]

    def _http_error(self, fault: Fault) -> ai.ModelHTTPError:
        return ai.ModelHTTPError.for_category(
            _CATEGORIES.get(fault.status, ai.ModelServerError if fault.status >= 500 else None),
            status_code=fault.status,
            model_name=self._name,
            body={"message": "an error from the script"},
            retry_after=fault.retry_after,
        )


def _parts(turn: Turn, number: int, parameters: ModelRequestParameters) -> list[ModelResponsePart]:
    if turn.output is not None:
        if parameters.output_tools:  # the run wants its result as a call of this tool
            return [ToolCallPart(parameters.output_tools[0].name, turn.output, tool_call_id=f"output_{number}")]
        return [TextPart(json.dumps(turn.output))]
    parts: list[ModelResponsePart] = [TextPart(turn.text)] if turn.text is not None else []
    parts += [
        ToolCallPart(call.tool, call.arguments, tool_call_id=f"call_{number}_{index}")
        for index, call in enumerate(turn.calls)
    ]
    return parts


def _last_user_message(messages: list[ModelMessage]) -> str:
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            said = [_content(part) for part in message.parts if isinstance(part, UserPromptPart)]
            if said:
                return "\n".join(said)
    return ""


def _words_of(message: ModelMessage) -> int:
    return sum(_words(_content(part)) for part in message.parts)


def _words(text: str) -> int:
    return len(text.split())


def _content(part: object) -> str:
    match part:
        case ToolCallPart():
            return f"{part.tool_name} {part.args_as_json_str()}"
        case ToolReturnPart():
            return part.model_response_str()
        case UserPromptPart():
            content = part.content
            return content if isinstance(content, str) else " ".join(map(str, content))
    return str(getattr(part, "content", ""))
