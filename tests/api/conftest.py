"""The cast: who calls the API in these tests, each with their own credentials.

The Apps are `acme`, where things happen, and `globex`, whose people are outsiders. `acme` has the agents `echo`
(a function) and `clerk` (a scripted model with a tool, and an input schema).
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from apps.tenancy.tokens import issue_app_token
from tests.support import agents, environment

PROBLEM = "application/problem+json"


class Person:
    """Somebody with credentials. Every answer is checked for what holds for all of them."""

    def __init__(self, token: str | None, **headers: str) -> None:
        self.headers = headers | ({} if token is None else {"Authorization": f"Bearer {token}"})
        self._client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, *, raw: bytes | None = None, **headers: str) -> Any:
        """`headers` are named as in `Idempotency_Key`. `raw` is sent as it is."""
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        content = raw if raw is not None else b"" if body is None else json.dumps(body).encode()
        kind = sent.pop("Content-Type", "application/json" if content else "")
        answer = self._client.generic(method, path, content, content_type=kind, headers=sent)
        if answer.status_code >= 400:
            assert answer["Content-Type"] == PROBLEM, (answer.status_code, answer.content)
            assert set(answer.json()) == {"type", "title", "status", "detail", "errors"}
            assert answer.json()["status"] == answer.status_code
        return answer

    def get(self, path: str, **headers: str) -> Any:
        return self("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("POST", path, body, **headers)

    def put(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("PUT", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self("DELETE", path, **headers)

    def submits(self, agent: str = "echo", input: Any = "hello", **fields: Any) -> dict[str, Any]:
        answer = self.post("/tasks", {"agent": agent, "input": input, **fields})
        assert answer.status_code == 202, answer.content
        task: dict[str, Any] = answer.json()
        return task


def pointers(answer: Any) -> list[str]:
    return [fault["pointer"] for fault in answer.json()["errors"]]


DOCUMENT = agents.document(
    {
        "echo": agents.function("echo", description="Says it again"),
        "clerk": {
            "type": "llm",
            "llm": "main",
            "tools": ["look_up"],
            "input_schema": {"type": "object", "properties": {"text": {"type": "string", "maxLength": 100}}},
        },
        "sleeper": agents.function("sleep_long"),
    },
    {"main": agents.scripted({"text": "Done."})},
    {"look_up": agents.function_tool("look_up")},
)


@pytest.fixture
def world(transactional_db: None, settings: Any) -> None:
    """Both Apps have the agents of DOCUMENT."""
    from apps.agents.config.apply import apply
    from apps.tenancy import lifecycle

    settings.HECTOR_FUNCTION_ALLOW = ["tests"]
    for name in ("acme", "globex"):
        apply(lifecycle.get(name), DOCUMENT, by="tests")


@pytest.fixture
def platform(world: None) -> Person:
    """The operator of the installation, looking at `acme`."""
    return Person(environment.SECRETS["HECTOR_AUTH_SECRET"], **{"X-Hector-App": "acme"})


@pytest.fixture
def admin(world: None) -> Person:
    return Person(issue_app_token("acme", role="admin"))


@pytest.fixture
def operator(world: None) -> Person:
    """Somebody of `acme` who starts and stops work."""
    return Person(issue_app_token("acme", role="operator"))


@pytest.fixture
def approver(world: None) -> Person:
    return Person(issue_app_token("acme", role="approver"))


@pytest.fixture
def viewer(world: None) -> Person:
    """Somebody who may read everything."""
    return Person(issue_app_token("acme", role="viewer", sees_payloads=True))


@pytest.fixture
def onlooker(world: None) -> Person:
    """A viewer who may not see what tasks are given and give."""
    return Person(issue_app_token("acme", role="viewer"))


@pytest.fixture
def outsider(world: None) -> Person:
    """An admin, but of `globex`."""
    return Person(issue_app_token("globex", role="admin"))


@pytest.fixture
def stranger(world: None) -> Person:
    """Nobody that we know."""
    return Person(None)
