"""Models behind HTTP, against a real server on this machine: answers, usage, and every kind of fault."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError
from pydantic_ai import Agent
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models import Model

from apps.agents import registry
from apps.agents.errors import Failure, PermanentError, classify
from apps.agents.llms import chain
from apps.agents.registry import BuildContext, LLMSpec
from hector_site.redaction import MASK
from tests.support import model_server
from tests.support.model_server import ModelServer, calls, error, rate_limited, says

pytestmark = pytest.mark.anyio
Build = Callable[..., Model]
PROVIDERS = ["openai", "anthropic", "gemini", "ollama"]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture
async def build(context: BuildContext) -> AsyncIterator[Build]:
    """Builds a model, and closes it after the test."""
    built: list[Model] = []

    def build(*specs: LLMSpec) -> Model:
        built.append(chain.build_chain(specs, context))
        return built[-1]

    yield build
    for model in built:
        await chain.aclose(model)


def spec(server: ModelServer, provider: str = "openai", **more: Any) -> LLMSpec:
    base_url = server.url if provider in ("openai", "ollama") else server.root
    data = {"provider": provider, "model": "test-1", "base_url": base_url, "api_key": "${secret:TOKEN}", **more}
    return registry.providers[provider].spec.model_validate(data)


async def failure(server: ModelServer, build: Build, **more: Any) -> Failure:
    """What an agent's run against the server ends with."""
    agent = Agent(build(spec(server, **more)), retries=1)
    agent.tool_plain(lambda city: f"sunny in {city}", name="weather")
    with pytest.raises(Exception) as raised:  # whatever a provider's library makes of it
        await agent.run("What is the weather?")
    return classify(raised.value)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_agent_calls_tools_and_answers(server: ModelServer, build: Build, provider: str) -> None:
    server.script(calls(("weather", {"city": "Berlin"})), says("Sunny in Berlin."))
    model = build(spec(server, provider))
    agent = Agent(model)
    asked: list[str] = []

    @agent.tool_plain
    def weather(city: str) -> str:
        asked.append(city)
        return "sunny"

    result = await agent.run("What is the weather in Berlin?")

    assert result.output == "Sunny in Berlin."
    assert asked == ["Berlin"]
    assert (result.usage.requests, result.usage.input_tokens, result.usage.output_tokens) == (2, 22, 14)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_key_is_the_secret_of_the_app(server: ModelServer, build: Build, provider: str) -> None:
    await Agent(build(spec(server, provider))).run("hello")

    assert any("s3cr3t-value" in value for value in server.requests[0].headers.values())


async def test_a_server_without_a_key_never_gets_the_operators(
    server: ModelServer, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the operator's own key")
    await Agent(build(spec(server, api_key=None))).run("hello")

    assert "the operator's own key" not in str(server.requests[0].headers)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_empty_key_is_a_configuration_error(
    server: ModelServer, build: Build, secrets: dict[str, str], provider: str
) -> None:
    secrets["TOKEN"] = ""

    with pytest.raises(PermanentError) as raised:
        build(spec(server, provider))

    assert raised.value.code == "bad_config"


async def test_settings_reach_the_server(server: ModelServer, build: Build) -> None:
    await Agent(build(spec(server, temperature=0.5, max_tokens=100))).run("hello")

    body = server.requests[0].body
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("test-1", 0.5, 100)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_429_is_not_retried_here_and_brings_its_retry_after(
    server: ModelServer, build: Build, provider: str
) -> None:
    server.script(rate_limited(17))

    ended = await failure(server, build, provider=provider)

    assert (ended.code, ended.retryable, ended.retry_after) == ("rate_limited", True, 17.0)
    assert len(server.requests) == 1


async def test_a_retry_after_may_be_a_date(server: ModelServer, build: Build) -> None:
    server.script(rate_limited(model_server.in_seconds(60)))

    ended = await failure(server, build)

    assert ended.retry_after == pytest.approx(60, abs=3)


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "rejected", False),
        (401, "not_authorised", False),
        (403, "not_authorised", False),
        (404, "not_found", False),
        (408, "unavailable", True),
        (409, "unavailable", True),
        (425, "unavailable", True),
        (500, "server_error", True),
        (503, "server_error", True),
        (529, "server_error", True),
    ],
)
async def test_each_status_has_its_class(
    server: ModelServer, build: Build, provider: str, status: int, code: str, retryable: bool
) -> None:
    server.script(error(status))

    ended = await failure(server, build, provider=provider)

    assert (ended.code, ended.retryable) == (code, retryable)
    assert len(server.requests) == 1


async def test_a_spent_quota_is_no_rate_limit(server: ModelServer, build: Build) -> None:
    body = b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota", "type": "x"}}'
    server.script(model_server.Reply(status=429, body=body))

    assert (await failure(server, build)).code == "quota_exhausted"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_server_that_never_answers_times_out(server: ModelServer, build: Build, provider: str) -> None:
    server.script(model_server.HANG)
    began = time.monotonic()

    ended = await failure(server, build, provider=provider, timeout="300ms")

    assert (ended.code, ended.retryable) == ("timed_out", True)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_cut_connection_is_retryable(server: ModelServer, build: Build, provider: str) -> None:
    server.script(model_server.CUT)

    ended = await failure(server, build, provider=provider)

    assert (ended.code, ended.retryable) == ("connection_failed", True)


async def test_a_server_that_is_not_there_is_retryable(server: ModelServer, build: Build) -> None:
    ended = await failure(server, build, base_url="http://127.0.0.1:1/v1")

    assert (ended.code, ended.retryable) == ("connection_failed", True)


async def test_an_answer_that_is_not_json_is_the_servers_fault(server: ModelServer, build: Build) -> None:
    server.script(model_server.not_json())

    ended = await failure(server, build)

    assert (ended.code, ended.retryable) == ("server_error", True)


async def test_a_model_that_cannot_write_json_gets_a_second_chance(server: ModelServer, build: Build) -> None:
    server.script(
        model_server.malformed_arguments("weather"), calls(("weather", {"city": "Berlin"})), says("It is sunny.")
    )
    agent = Agent(build(spec(server)), retries=1)
    agent.tool_plain(lambda city: "sunny", name="weather")

    assert (await agent.run("Weather?")).output == "It is sunny."


@pytest.mark.parametrize("reply", [model_server.malformed_arguments("weather"), calls(("no_such_tool", {}))])
async def test_a_model_that_goes_on_misbehaving_fails_for_good(
    server: ModelServer, build: Build, reply: model_server.Reply
) -> None:
    server.script(reply)

    ended = await failure(server, build)

    assert (ended.code, ended.retryable) == ("model_misbehaved", False)


async def test_a_known_model_needs_no_price(server: ModelServer, build: Build) -> None:
    server.script(says("hello", tokens=(1000, 100)))
    result = await Agent(build(spec(server, "anthropic"))).run("hi")
    response = result.response
    response.usage.cost, response.model_name = None, "claude-sonnet-4-5"

    assert chain.cost(response) == Decimal("0.0045")


async def test_the_fallback_takes_over_without_waiting(server: ModelServer, build: Build) -> None:
    with ModelServer(rate_limited(30)) as busy:
        model = build(spec(busy), spec(server))

        assert (await Agent(model).run("hello")).output == "ok"

    assert (len(busy.requests), len(server.requests)) == (1, 1)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_what_a_provider_answers_is_told_in_a_sentence(server: ModelServer, build: Build, provider: str) -> None:
    server.script(error(401, "Who are you?"))

    with pytest.raises(ModelHTTPError) as raised:
        await Agent(build(spec(server, provider))).run("hello")

    assert classify(raised.value).message == "the model test-1 answered 401: Who are you?"


async def test_a_secret_that_a_server_repeats_is_not_in_the_message(server: ModelServer, build: Build) -> None:
    server.script(error(401, "Incorrect API key provided: s3cr3t-value. See https://user:pw@example.com/?key=abc"))
    agent = Agent(build(spec(server)))

    with pytest.raises(ModelHTTPError) as raised:
        await agent.run("hello")
    ended = classify(raised.value, secrets=["s3cr3t-value"])

    assert ended.code == "not_authorised"
    for text in ("s3cr3t-value", "user:pw", "key=abc"):
        assert text not in ended.message


async def test_a_closed_model_can_be_used_again(server: ModelServer, build: Build) -> None:
    model = build(spec(server))
    await Agent(model).run("hello")
    await chain.aclose(model)

    assert (await Agent(model).run("hello")).output == "ok"


@pytest.mark.parametrize(
    ("provider", "data"),
    [
        ("openai", {"model": "gpt-5"}),
        ("openai", {"model": "", "base_url": "http://localhost/v1"}),
        ("openai", {"model": "a", "base_url": "localhost:8000"}),
        ("openai", {"model": "a", "base_url": "http://localhost/v1", "apikey": "x"}),
        ("anthropic", {"model": "claude"}),
        ("gemini", {"model": "gemini"}),
        ("ollama", {}),
    ],
)
def test_a_model_that_cannot_work_is_refused(provider: str, data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        registry.providers[provider].spec.model_validate({"provider": provider, **data})


@pytest.mark.parametrize(
    ("raised", "code", "retryable"),
    [
        (TimeoutError(), "timed_out", True),
        (ConnectionResetError("reset"), "connection_failed", True),
        (httpx2.ReadTimeout("slow"), "timed_out", True),
        (httpx2.ConnectError("refused"), "connection_failed", True),
        (PermanentError("account_closed", "closed"), "account_closed", False),
        (ExceptionGroup("several", [PermanentError("a", "a"), TimeoutError("b")]), "timed_out", True),
        (KeyError("a bug"), "unexpected", True),
    ],
)
def test_other_errors_have_their_class_too(raised: Exception, code: str, retryable: bool) -> None:
    ended = classify(raised)

    assert (ended.code, ended.retryable) == (code, retryable)
    assert ended.message


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abcdef0123456789",
        'headers {"x-api-key": "abcdef0123456789"}',
        "key sk-abcdef0123456789 was refused",
        "postgres://user:abcdef0123456789@host/db",
        "GET https://host/path?key=abcdef0123456789&a=b",
        "password=abcdef0123456789",
    ],
)
def test_what_looks_like_a_credential_is_hidden(text: str) -> None:
    message = classify(RuntimeError(text)).message

    assert "abcdef0123456789" not in message
    assert MASK in message


def test_the_name_of_a_secret_is_not_hidden() -> None:
    text = "${secret:OPENAI_API_KEY} is not set"

    assert classify(RuntimeError(text)).message == text
