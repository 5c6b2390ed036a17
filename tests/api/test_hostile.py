"""Requests that nobody should send, generated from the API's own description: a 4xx problem each, never a 5xx.

Schemathesis makes them (what breaks the description, and what just keeps it), Hypothesis makes bodies of any kind.
The same ones come in every run.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from apps.queue import workers
from apps.tenancy.context import in_app
from tests.api.conftest import Person
from tests.support import letters
from tests.support.installation import ROOT

DESCRIPTION = schemathesis.openapi.from_dict(json.loads((ROOT / "docs/openapi.json").read_text()))
OPERATIONS = {
    operation.ok().definition.raw["operationId"]: operation.ok() for operation in DESCRIPTION.get_all_operations()
}
STEADY = settings(
    max_examples=8,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.filter_too_much],
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def send(person: Person, case: Any, real: dict[str, str]) -> Any:
    """Sends a generated request with credentials that are good, and half of the time to something that exists."""
    parameters = dict(case.path_parameters or {})
    if case.method != "DELETE" and len(str(case.body)) % 2:
        parameters |= {name: real[name] for name in parameters}
    path = case.path.format(**{name: _quoted(value) for name, value in parameters.items()})
    headers = {
        name: value
        for name, value in (case.headers or {}).items()
        if name.lower() not in ("authorization", "prefer") and _sendable(name) and _sendable(str(value))
    }
    body = case.body if isinstance(case.body, bytes) else b"" if _unset(case.body) else json.dumps(case.body).encode()
    return person(
        case.method, path + _query(case.query), raw=body, Content_Type=case.media_type or "", **_kept(headers)
    )


def _unset(body: Any) -> bool:
    return type(body).__name__ == "NotSet"


def _quoted(value: Any) -> str:
    return quote(str(value), safe="", errors="surrogatepass")


def _query(query: dict[str, Any] | None) -> str:
    return "?" + urlencode(query or {}, doseq=True, errors="surrogatepass")


def _sendable(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _kept(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("-", "_"): str(value) for name, value in headers.items() if name.replace("-", "").isalnum()}


def check(answer: Any, request: str) -> None:
    """`Person` has checked already that what is an error is a problem."""
    assert answer.status_code < 500, (request, answer.status_code, answer.content)
    if hasattr(answer, "close"):
        answer.close()


def _attack(person: Person, operation: Any, mode: GenerationMode, real: dict[str, str]) -> None:
    @STEADY
    @given(operation.as_strategy(generation_mode=mode))
    def attempt(case: Any) -> None:
        check(send(person, case, real), f"{case.method} {case.path}")

    attempt()


def _takes_something(operation: Any) -> bool:
    return bool(operation.definition.raw.get("parameters") or operation.definition.raw.get("requestBody"))


def a_letter() -> int:
    with in_app("acme") as app:
        worker = workers.register(slots=1)
        filed = letters.letter(app, worker, "echo")
        workers.sign_off(worker.pk)
    return filed.pk


# What keeps the description gets as far as the database, which PostgreSQL is stricter about.
# What breaks it has tests of its own in `test_malformed`, and is generated in `make test-faults`.
@pytest.mark.parametrize(
    "mode",
    [
        pytest.param(GenerationMode.POSITIVE, marks=pytest.mark.sampled("postgresql")),
        pytest.param(GenerationMode.NEGATIVE, marks=pytest.mark.sampled()),
    ],
    ids=lambda mode: mode.value,
)
def test_no_generated_request_is_a_fault_of_ours(platform: Person, mode: GenerationMode) -> None:
    letter = str(a_letter())
    task = platform.submits()["id"]
    real = {"id": task, "name": "acme", "number": "1", "key": "KEY", "seq": "1"}
    for name, operation in sorted(OPERATIONS.items()):
        if mode == GenerationMode.NEGATIVE and not _takes_something(operation):
            continue  # there is nothing about it that could be wrong
        its_own = {"name": "echo"} if name == "get_agent" else {"id": letter} if name.endswith("_dead_letter") else {}
        _attack(platform, operation, mode, real | its_own)
    assert platform.get(f"/tasks/{task}").status_code == 200


@pytest.mark.sampled("postgresql")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/tasks"),
        ("POST", "/admin/apps"),
        ("PUT", "/admin/apps/acme/config"),
        ("PATCH", "/admin/apps/acme"),
        ("PUT", "/admin/apps/acme/secrets/KEY"),
        ("POST", "/admin/apps/acme/token"),
    ],
)
def test_no_body_at_all_is_a_fault_of_ours(platform: Person, method: str, path: str) -> None:
    @settings(STEADY, max_examples=40)
    @given(st.binary(max_size=40) | anything.map(json.dumps).map(str.encode))
    def attempt(body: bytes) -> None:
        check(platform(method, path, raw=body, Content_Type="application/json"), repr(body))

    attempt()


FIELDS = [
    "agent",
    "input",
    "session",
    "priority",
    "run_at",
    "timeout_seconds",
    "deadline",
    "max_retries",
    "tags",
    "metadata",
]


@pytest.mark.sampled("postgresql")
def test_no_value_of_a_field_is_a_fault_of_ours(platform: Person) -> None:
    @settings(STEADY, max_examples=200)
    @given(st.sampled_from(FIELDS), anything)
    def attempt(field: str, value: Any) -> None:
        body = json.dumps({"agent": "echo", "input": "x", field: value}).encode()
        check(platform("POST", "/tasks", raw=body), repr(body))

    attempt()


@pytest.mark.sampled("postgresql")
def test_no_parameter_of_a_list_is_a_fault_of_ours(platform: Person) -> None:
    names = [
        "status",
        "agent",
        "session",
        "tag",
        "entry_point",
        "created_after",
        "created_before",
        "q",
        "limit",
        "cursor",
    ]

    @settings(STEADY, max_examples=200)
    @given(st.dictionaries(st.sampled_from(names), st.text(max_size=30), max_size=3))
    def attempt(query: dict[str, str]) -> None:
        check(platform.get("/tasks" + _query(query)), repr(query))

    attempt()
