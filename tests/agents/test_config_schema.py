"""The JSON Schema that editors use agrees with what is accepted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from apps.agents import registry
from apps.agents.config.reading import read
from apps.agents.config.schema import json_schema

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return json_schema()


def is_valid(schema: dict[str, Any], document: dict[str, Any]) -> bool:
    return Draft202012Validator(schema).is_valid(document)


def test_it_is_a_json_schema_of_2020_12(schema: dict[str, Any]) -> None:
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("path", ["hector_demo/app.yaml", "apps/agents/management/starter.yaml"])
def test_it_accepts_the_documents_that_come_with_hector(schema: dict[str, Any], path: str) -> None:
    Draft202012Validator(schema).validate(read((ROOT / path).read_text()).data)


@pytest.mark.parametrize(
    "document",
    [
        {"embedders": {}},
        {"version": "3"},
        {"agents": {"bad name": {}}},
        {"agents": {"a": {"instruktion": "x"}}},
        {"agents": {"a": {"type": "function"}}},
        {"agents": {"a": {"handler": "x.y"}}},
        {"agents": {"a": {"type": "loop"}}},
        {"llms": {"a": {"model": "m"}}},
        {"llms": {"a": {"provider": "nobody"}}},
        {"llms": {"a": {"provider": "ollama", "model": "m", "script": []}}},
        {"tools": {"a": {"type": "search"}}},
        {"agents": {"a": {"limits": {"requests": 0}}}},
    ],
)
def test_it_refuses_what_hector_refuses(schema: dict[str, Any], document: dict[str, Any]) -> None:
    assert not is_valid(schema, document)


def test_the_type_of_an_agent_may_be_left_out(schema: dict[str, Any]) -> None:
    assert is_valid(schema, {"agents": {"a": {}, "b": {"type": "llm", "timeout": "5m"}}})


def test_it_knows_every_registered_provider_and_tool_type(schema: dict[str, Any]) -> None:
    text = str(schema)
    for name in [*registry.providers, *registry.tool_types, "llm", "function"]:
        assert f"'const': '{name}'" in text


def test_each_key_of_the_document_and_of_an_agent_is_described(schema: dict[str, Any]) -> None:
    assert all(entry.get("description") for entry in schema["properties"].values())
    (agents,) = schema["properties"]["agents"]["patternProperties"].values()
    for variant in agents["oneOf"]:
        found = schema["$defs"][variant["$ref"].rpartition("/")[2]] if "$ref" in variant else variant
        assert all(entry.get("description") for entry in found["properties"].values())
