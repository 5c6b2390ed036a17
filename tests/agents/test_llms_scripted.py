"""`provider: scripted`: the document's own answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError
from pydantic_ai import Agent, ModelHTTPError, StructuredDict, ToolCallPart, UserError
from pydantic_ai.exceptions import FallbackExceptionGroup, ModelRateLimitError
from pydantic_ai.messages import ModelResponse

from apps.agents.errors import classify
from apps.agents.llms import chain
from apps.agents.llms.scripted import ScriptedSpec, request_number
from apps.agents.registry import BuildContext, LLMSpec

pytestmark = pytest.mark.anyio


def scripted(*turns: dict[str, Any], **more: Any) -> LLMSpec:
    return ScriptedSpec.model_validate({"provider": "scripted", "script": list(turns), **more})


async def test_a_script_calls_a_tool_and_then_answers(context: BuildContext) -> None:
    model = chain.build(
        scripted({"calls": [{"tool": "add", "arguments": {"a": 1, "b": 2}}]}, {"text": "Three."}), context
    )
    agent = Agent(model)
    asked = []

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        asked.append((a, b))
        return a + b

    result = await agent.run("What is 1 + 2?")

    assert result.output == "Three."
    assert asked == [(1, 2)]


async def test_call_ids_are_the_same_on_every_run_and_differ_within_one(context: BuildContext) -> None:
    calls = [{"tool": "ping"}, {"tool": "ping"}]
    model = chain.build(scripted({"calls": calls}, {"calls": calls}, {"text": "done"}), context)
    agent = Agent(model)
    agent.tool_plain(lambda: "pong", name="ping")

    runs = [await agent.run("go") for _ in range(2)]

    ids = [
        [
            part.tool_call_id
            for message in run.all_messages()
            for part in message.parts
            if isinstance(part, ToolCallPart)
        ]
        for run in runs
    ]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 4


async def test_past_the_end_the_last_turn_repeats(context: BuildContext) -> None:
    agent = Agent(chain.build(scripted({"text": "one"}, {"text": "two"}), context))

    first = await agent.run("a")
    second = await agent.run("b", message_history=first.all_messages())
    third = await agent.run("c", message_history=second.all_messages())

    assert [first.output, second.output, third.output] == ["one", "two", "two"]


async def test_a_turn_with_when_applies_only_to_messages_that_match(context: BuildContext) -> None:
    spec = scripted({"text": "Deploying.", "when": "(?i)deploy"}, {"text": "Hello."})
    agent = Agent(chain.build(spec, context))

    assert (await agent.run("Deploy it")).output == "Deploying."
    assert (await agent.run("Hi")).output == "Hello."


async def test_the_driver_says_which_request_it_is(context: BuildContext) -> None:
    agent = Agent(chain.build(scripted({"error": {"status": 429}}, {"text": "after the retry"}), context))

    token = request_number.set(1)
    try:
        result = await agent.run("go")
    finally:
        request_number.reset(token)

    assert result.output == "after the retry"


async def test_an_error_turn_fails_like_a_server(context: BuildContext) -> None:
    agent = Agent(chain.build(scripted({"error": {"status": 429, "retry_after": 2}}), context))

    with pytest.raises(ModelHTTPError) as raised:
        await agent.run("go")

    assert isinstance(raised.value, ModelRateLimitError)
    failure = classify(raised.value)
    assert (failure.code, failure.retryable, failure.retry_after) == ("rate_limited", True, 2.0)


async def test_an_output_turn_gives_the_structured_answer(context: BuildContext) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    agent = Agent(
        chain.build(scripted({"output": {"city": "Berlin"}}), context), output_type=StructuredDict(schema, name="place")
    )

    assert (await agent.run("Where?")).output == {"city": "Berlin"}


async def test_a_script_in_which_no_turn_applies_is_a_configuration_error(context: BuildContext) -> None:
    agent = Agent(chain.build(scripted({"text": "a", "when": "nothing says this"}), context))

    with pytest.raises(UserError) as raised:
        await agent.run("go")

    assert classify(raised.value).code == "bad_config"


async def test_a_price_of_the_document_decides_the_cost(context: BuildContext) -> None:
    spec = scripted({"text": "four words are here"}, price={"input": 1_000_000, "output": 2_000_000})
    result = await Agent(chain.build(spec, context)).run("three short words")

    response = next(message for message in result.all_messages() if isinstance(message, ModelResponse))
    assert (result.usage.input_tokens, result.usage.output_tokens) == (3, 4)
    assert chain.cost(response) == Decimal(3 + 8)
    assert result.usage.cost == Decimal(11)


async def test_the_cost_of_an_unknown_model_is_unknown_and_not_nothing(context: BuildContext) -> None:
    result = await Agent(chain.build(scripted({"text": "x"}), context)).run("y")

    assert chain.cost(result.response) is None


async def test_the_fallback_answers_while_the_first_model_is_overloaded(context: BuildContext) -> None:
    model = chain.build_chain([scripted({"error": {"status": 503}}), scripted({"text": "from the second"})], context)

    assert (await Agent(model).run("go")).output == "from the second"


async def test_a_refused_credential_does_not_fall_over(context: BuildContext) -> None:
    model = chain.build_chain([scripted({"error": {"status": 401}}), scripted({"text": "from the second"})], context)

    with pytest.raises(ModelHTTPError):
        await Agent(model).run("go")


async def test_when_every_model_of_a_chain_fails_the_soonest_retry_counts(context: BuildContext) -> None:
    model = chain.build_chain(
        [
            scripted({"error": {"status": 429, "retry_after": 9}}),
            scripted({"error": {"status": 429, "retry_after": 3}}),
        ],
        context,
    )

    with pytest.raises(FallbackExceptionGroup) as raised:
        await Agent(model).run("go")

    failure = classify(raised.value)
    assert (failure.retryable, failure.retry_after) == (True, 3.0)


@pytest.mark.parametrize(
    "turn",
    [
        {},
        {"text": "a", "output": {}},
        {"text": "a", "error": {"status": 500}},
        {"error": {"status": 200}},
        {"text": "a", "when": "("},
        {"tekst": "a"},
    ],
)
def test_a_turn_that_makes_no_sense_is_refused(turn: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        scripted(turn)
