"""Every fault of a document is reported, all of them at once, each where it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from apps.agents.config.checks import validate
from apps.agents.config.faults import ConfigInvalid, Fault
from apps.agents.config.schema import Document
from hector_site.problems import pointer
from tests.agents.test_config_reading import plain_text, storable

HELLO = {"provider": "scripted", "script": [{"text": "Hello"}]}
LOOKUP = {"type": "function", "handler": "tests.agents.sample_tools.lookup_order"}


@pytest.fixture(autouse=True)
def _allowed(settings: Settings) -> None:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.agents.sample_tools"]
    settings.HECTOR_ENV_ALLOW = ["OPENAI_API_KEY"]


def document(**changes: Any) -> dict[str, Any]:
    """A sound document; a change replaces a section."""
    return {
        "version": "2",
        "llms": {"default": HELLO},
        "tools": {"lookup": LOOKUP},
        "agents": {"assistant": {"tools": ["lookup"]}},
        "defaults": {"llm": "default"},
    } | changes


def faults_of(found: str | dict[str, Any], **options: Any) -> list[Fault]:
    with pytest.raises(ConfigInvalid) as caught:
        validate(found, **options)
    return caught.value.faults


def test_a_sound_document_is_accepted() -> None:
    checked = validate(document())
    assert list(checked.agents) == ["assistant"]
    assert checked.agents["assistant"].type == "llm"


def test_nothing_at_all_is_a_sound_document() -> None:
    assert validate({}) == Document()


def test_the_version_may_be_written_as_a_number() -> None:
    assert validate("version: 2").version == "2"


def agent(**keys: Any) -> dict[str, Any]:
    return document(agents={"a": keys})


def tool(**keys: Any) -> dict[str, Any]:
    return document(tools={"lookup": keys})


def llm(**keys: Any) -> dict[str, Any]:
    return document(llms={"default": keys})


OLLAMA = {"provider": "ollama", "model": "m"}
OBJECT = {"type": "object"}


@pytest.mark.parametrize(
    ("found", "place", "words"),
    [
        (document(version="3"), "/version", "'2'"),
        (document(agent={}), "/agent", "did you mean `agents`"),
        (document(agents=[]), "/agents", "mapping"),
        (document(agents={"a": None}), "/agents/a", "mapping"),
        (document(agents={"bad name": {}}), "/agents/bad name", "a letter first"),
        (document(agents={"a/b~c": {}}), "/agents/a~1b~0c", "a letter first"),
        (document(defaults={"llm": "gone"}), "/defaults/llm", "no `gone` in `llms`; there is default"),
        (document(defaults={}), "/agents/assistant/llm", "names no llm"),
        (agent(instruktion="x"), "/agents/a/instruktion", "did you mean `instruction`"),
        (agent(llm="gone"), "/agents/a/llm", "no `gone` in `llms`"),
        (agent(tools=["gone"]), "/agents/a/tools/0", "no `gone` in `tools`"),
        (agent(tools=["lookup", "lookup"]), "/agents/a/tools/1", "twice"),
        (agent(tools=[7]), "/agents/a/tools/0", "text"),
        (agent(type="robot"), "/agents/a/type", "function, llm"),
        (agent(type=None), "/agents/a/type", "function, llm"),
        (agent(type=["llm"]), "/agents/a/type", "function, llm"),
        (agent(limits={"requests": 0}), "/agents/a/limits/requests", "greater than 0"),
        (agent(limits={"cost_usd": "much"}), "/agents/a/limits/cost_usd", "number"),
        (agent(limits={"request": 1}), "/agents/a/limits/request", "not a key"),
        (agent(retry={"max_retries": -1}), "/agents/a/retry/max_retries", "greater than or equal to 0"),
        (agent(timeout="soon"), "/agents/a/timeout", "not a duration"),
        (agent(timeout=True), "/agents/a/timeout", "duration"),
        (agent(output_schema={"type": "string"}), "/agents/a/output_schema/type", "object"),
        (agent(output_schema=OBJECT | {"required": 1}), "/agents/a/output_schema/required", "no JSON Schema"),
        (agent(input_schema=OBJECT | {"$ref": "http://x"}), "/agents/a/input_schema/$ref", "only refer to itself"),
        (agent(type="function"), "/agents/a/handler", "required"),
        (agent(type="function", handler="os.system"), "/agents/a/handler", "HECTOR_FUNCTION_ALLOW"),
        (agent(type="function", handler="not a path"), "/agents/a/handler", "dotted path"),
        (tool(type="function", handler="os.system"), "/tools/lookup/handler", "HECTOR_FUNCTION_ALLOW"),
        (tool(type="function", handler=LOOKUP["handler"] + "s"), "/tools/lookup/handler", "has no lookup_orders"),
        (tool(type="teleport"), "/tools/lookup/type", "Must be one of"),
        (tool(handler="x"), "/tools/lookup/type", "Must name one of"),
        (tool(**LOOKUP, colour="red"), "/tools/lookup/colour", "not a key"),
        (llm(provider="nobody"), "/llms/default/provider", "scripted"),
        (llm(provider="scripted"), "/llms/default/script", "required"),
        (llm(provider="scripted", script=[{"text": 1}]), "/llms/default/script/0/text", "text"),
        (llm(**HELLO, fallback="gone"), "/llms/default/fallback", "no `gone`"),
        (llm(**HELLO, fallback="default"), "/llms/default/fallback", "default -> default"),
    ],
)
def test_a_fault_is_reported_where_it_is(found: dict[str, Any], place: str, words: str) -> None:
    faults = faults_of(found)
    assert [fault.pointer for fault in faults] == [place]
    assert words in faults[0].detail


@pytest.mark.parametrize(
    ("found", "place"),
    [
        *((document(**{key: {}}), f"/{key}") for key in ("document_stores", "embedders")),
        *((agent(type=kind), "/agents/a/type") for kind in ("sequential", "parallel", "loop", "conditional", "graph")),
        (agent(agent_tools=["b"]), "/agents/a/agent_tools"),
        *((tool(type=kind), "/tools/lookup/type") for kind in ("files", "search")),
    ],
)
def test_what_a_later_version_brings_is_refused_as_such(found: dict[str, Any], place: str) -> None:
    faults = faults_of(found)
    assert [fault.pointer for fault in faults] == [place]
    assert "not available in this version of Hector" in faults[0].detail


def test_every_fault_is_reported_at_once_with_its_line() -> None:
    text = """\
version: "2"
llms:
  one: {provider: ollama, model: m, fallback: two, colour: red}
  two: {provider: ollama, model: m, fallback: one, timeout: soon}
agents:
  a:
    llm: three
    tools: [lookup]
    limits:
      requests: none
document_stores: {}
"""
    assert [(fault.pointer, fault.line) for fault in faults_of(text)] == [
        ("/llms/one/colour", 3),
        ("/llms/one/fallback", 3),
        ("/llms/two/timeout", 4),
        ("/agents/a/llm", 7),
        ("/agents/a/tools/0", 8),
        ("/agents/a/limits/requests", 10),
        ("/document_stores", 11),
    ]


def test_a_missing_key_has_the_line_of_what_lacks_it() -> None:
    assert [(fault.pointer, fault.line) for fault in faults_of("llms:\n  a:\n    provider: scripted\n")] == [
        ("/llms/a/script", 3)
    ]


def test_a_chain_of_fallbacks_that_ends_is_accepted() -> None:
    llms = {"a": OLLAMA | {"fallback": "b"}, "b": OLLAMA | {"fallback": "c"}, "c": OLLAMA}
    assert list(validate({"llms": llms}).llms) == ["a", "b", "c"]


def test_each_circle_of_fallbacks_is_reported_once() -> None:
    llms = {name: OLLAMA | {"fallback": to} for name, to in {"a": "b", "b": "c", "c": "b", "d": "d"}.items()}
    assert [fault.pointer for fault in faults_of({"llms": llms})] == ["/llms/b/fallback", "/llms/d/fallback"]


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"properties": {"x": {"$ref": "#/$defs/gone"}}}, "/properties/x/$ref"),
        ({"properties": {"x": {"$ref": "#gone"}}}, "/properties/x/$ref"),
        ({"$ref": "#"}, ""),
        ({"allOf": [{"not": {"$ref": "#"}}]}, ""),
        ({"properties": {"x": {"$ref": "#/properties/y"}, "y": {"anyOf": [{"$ref": "#/properties/x"}]}}}, ""),
        ({"$defs": {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(5000)} | {"d5000": {}}}, ""),
    ],
)
def test_a_schema_that_cannot_be_followed_is_refused(schema: dict[str, Any], place: str) -> None:
    assert [fault.pointer for fault in faults_of(agent(input_schema=OBJECT | schema))] == [
        f"/agents/a/input_schema{place}"
    ]


def test_an_input_may_be_a_tree() -> None:
    validate(agent(input_schema=OBJECT | {"properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}))


def test_a_result_whose_definition_holds_itself_is_refused() -> None:
    tree = {"type": "object", "properties": {"next": {"$ref": "#/$defs/tree"}}}
    schema = tree | {"$defs": {"tree": tree}}
    assert faults_of(agent(output_schema=schema))[0].pointer == "/agents/a/output_schema/$defs"
    flat = OBJECT | {"properties": {"x": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}}
    validate(agent(output_schema=flat))


# --- Secrets --------------------------------------------------------------------------------------------------------
OPENAI = {"provider": "openai", "model": "m", "base_url": "http://localhost:1"}


def test_a_key_in_clear_is_refused_and_not_repeated() -> None:
    faults = faults_of(document(llms={"default": OPENAI | {"api_key": "sk-live-1234"}}))
    assert [fault.pointer for fault in faults] == ["/llms/default/api_key"]
    assert "${secret:NAME}" in faults[0].detail
    assert "1234" not in str(faults)


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"headers": {"Authorization": "Bearer abc"}}, "/headers/Authorization"),
        ({"headers": {"x-api-key": "abc"}}, "/headers/x-api-key"),
    ],
)
def test_a_credential_in_clear_is_refused(keys: dict[str, Any], place: str) -> None:
    found = tool(**{"type": "http", "url": "https://example.com/", "description": "x"} | keys)
    faults = faults_of(found)
    assert [fault.pointer for fault in faults] == [f"/tools/lookup{place}"]
    assert "abc" not in str(faults)


def test_a_password_in_an_address_is_refused() -> None:
    faults = faults_of(llm(**OPENAI | {"base_url": "https://ada:abc@localhost/v1"}))
    assert [fault.pointer for fault in faults] == ["/llms/default/base_url"]
    assert "abc" not in str(faults)
    validate(llm(**OPENAI | {"base_url": "https://ada:${secret:KEY}@localhost/v1"}))


def test_headers_that_hold_no_credential_or_refer_to_one_are_accepted() -> None:
    headers = {"Authorization": "Bearer ${secret:KEY}", "Idempotency-Key": "{id}", "Accept": "text/plain"}
    parameters = {"id": {"type": "string"}}
    validate(tool(type="http", url="https://example.com/", description="x", headers=headers, parameters=parameters))


def test_a_reference_to_a_secret_stays_a_reference() -> None:
    checked = validate(document(llms={"default": OPENAI | {"api_key": "${secret:KEY}"}}))
    assert checked.llms["default"].model_dump()["api_key"] == "${secret:KEY}"


@pytest.mark.parametrize(
    ("found", "place", "words"),
    [
        (agent(instruction="Say ${secret:KEY}"), "/agents/a/instruction", "not here"),
        (document(description="${env:HOME}"), "/description", "not here"),
        (tool(**LOOKUP, description="${secret:KEY}"), "/tools/lookup/description", "not here"),
        (llm(**OPENAI, api_key="${secret:my key}"), "/llms/default/api_key", "not a name"),
        (llm(**OPENAI, api_key="${env:OPENAI_API_KEY}"), "/llms/default/api_key", "command line"),
    ],
)
def test_a_reference_that_cannot_be_resolved_is_refused(found: dict[str, Any], place: str, words: str) -> None:
    faults = faults_of(found)
    assert [fault.pointer for fault in faults] == [place]
    assert words in faults[0].detail


def test_the_environment_may_be_read_by_names_on_the_list_only() -> None:
    validate(llm(**OPENAI, api_key="${env:OPENAI_API_KEY}"), allow_env=True)
    faults = faults_of(llm(**OPENAI, api_key="${env:HECTOR_SECRET_KEY}"), allow_env=True)
    assert "not on HECTOR_ENV_ALLOW" in faults[0].detail


@pytest.mark.parametrize("text", ["$HOME", "${HOME}", "$5", "$${x}", "${secret}", "{secret:X}", "${other:X}"])
def test_any_other_dollar_is_text(text: str) -> None:
    validate(agent(instruction=text))


# --- Hostile documents ----------------------------------------------------------------------------------------------
def survives(found: str | dict[str, Any]) -> None:
    try:
        validate(found)
    except ConfigInvalid as invalid:
        assert invalid.faults
        for fault in invalid.faults:
            assert fault.pointer == "" or fault.pointer.startswith("/")
            assert fault.detail.endswith((".", "?"))


WORDS = ["version", "llms", "tools", "agents", "defaults", "entry_points", "llm", "type", "provider", "script", "a"]
WORDS += ["handler", "fallback", "limits", "retry", "timeout", "output_schema", "$ref", "$defs", "properties", "b"]
WORDS += ["required", "requests", "headers", "env", "api_key", "base_url", "command", "parameters", "url", "calls"]
VALUES = ["2", "llm", "function", "scripted", "openai", "command", "http", "mcp", "object", "a", "b", "#/a", "#", "("]
keys = st.sampled_from(WORDS) | plain_text
values = st.recursive(
    st.sampled_from(VALUES) | st.none() | st.booleans() | st.integers(-5, 5) | storable,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=25,
)
entries = st.dictionaries(st.sampled_from(["a", "b", "default", "x y"]), st.dictionaries(keys, values), max_size=3)
sections = dict.fromkeys(("llms", "tools", "agents", "defaults"), entries | values)
documents = st.fixed_dictionaries({}, optional=sections) | st.dictionaries(keys, values, max_size=6)
many = hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@many
@given(documents)
def test_any_document_is_accepted_or_refused_with_faults(found: dict[str, Any]) -> None:
    survives(found)
    survives(json.dumps(found))


@many
@given(st.data())
def test_a_sound_document_with_one_value_replaced_is_accepted_or_refused(data: st.DataObject) -> None:
    found = json.loads(json.dumps(document(agents={"a": {"tools": ["lookup"], "output_schema": OBJECT, "limits": {}}})))
    here: Any = found
    while True:
        key = data.draw(st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here))))
        if not here[key] or not isinstance(here[key], dict | list) or data.draw(st.booleans()):
            here[key] = data.draw(values)
            break
        here = here[key]
    survives(found)


@many
@given(st.lists(plain_text | st.integers(0, 9), max_size=4))
def test_a_pointer_is_read_back_as_the_path_it_was_made_of(path: list[str | int]) -> None:
    unescape: Callable[[str], str] = lambda part: part.replace("~1", "/").replace("~0", "~")  # noqa: E731
    assert [unescape(part) for part in pointer(*path).split("/")[1:]] == [str(part) for part in path]
