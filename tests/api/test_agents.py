"""GET /agents, and the schema of the document that they come from."""

from __future__ import annotations

from jsonschema import Draft202012Validator

from tests.api.conftest import DOCUMENT, Person


def test_agents_are_listed_by_name(viewer: Person) -> None:
    listed = viewer.get("/agents").json()
    assert [agent["name"] for agent in listed["results"]] == ["clerk", "echo", "sleeper"]
    assert (listed["next"], listed["previous"]) == (None, None)
    page = viewer.get("/agents?limit=2").json()
    assert page["results"] == listed["results"][:2] and page["next"] is not None


def test_an_agent_says_what_it_is_and_what_it_can_do(viewer: Person) -> None:
    clerk = viewer.get("/agents/clerk").json()
    assert clerk.pop("version").startswith("sha256:")
    assert clerk == {"name": "clerk", "description": "", "type": "llm", "tools": ["look_up"], "paused": None}
    assert viewer.get("/agents/echo").json()["description"] == "Says it again"


def test_the_schema_accepts_a_document_that_works(viewer: Person) -> None:
    schema = viewer.get("/schema").json()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(DOCUMENT)
