"""/admin/apps/{name}/config: replacing the document, its revisions, going back."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from django.db import connection

from tests.api.conftest import DOCUMENT, Person, pointers
from tests.support import agents

URL = "/admin/apps/acme/config"
OTHER = agents.document({"other": agents.function("echo")})
FAULTY = agents.document({"a": {"type": "llm", "llm": "missing"}})


def names(platform: Person) -> list[str]:
    return [agent["name"] for agent in platform.get("/agents").json()["results"]]


def test_a_new_document_is_a_new_revision_and_removes_what_it_does_not_name(platform: Person) -> None:
    answer = platform.put(URL, OTHER)
    assert (answer.status_code, answer.json()["revision"], answer["ETag"]) == (200, 2, '"2"')
    assert answer.json()["config"] == OTHER
    assert names(platform) == ["other"]


def test_the_document_comes_back_as_it_was_put(platform: Person) -> None:
    answer = platform.get(URL)
    assert (answer.json(), answer["ETag"]) == (DOCUMENT, '"1"')


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (json.dumps(OTHER).encode(), "application/json"),
        (json.dumps({"config": OTHER, "comment": "why"}).encode(), "application/json"),
        (json.dumps({"config": json.dumps(OTHER)}).encode(), "application/json"),
        (json.dumps(OTHER).encode(), "application/yaml"),
    ],
)
def test_a_document_may_come_in_any_of_its_forms(platform: Person, raw: bytes, kind: str) -> None:
    assert platform("PUT", URL, raw=raw, Content_Type=kind).status_code == 200
    assert names(platform) == ["other"]


def test_author_and_comment_are_kept(platform: Person) -> None:
    platform.put(URL, {"config": OTHER, "comment": "Only one now"})
    newest, first = platform.get(f"{URL}/revisions").json()["results"]
    assert (newest["number"], newest["author"], newest["comment"]) == (2, "operator", "Only one now")
    assert (first["number"], first["config"]) == (1, DOCUMENT)


def test_the_same_document_again_is_no_new_revision(platform: Person) -> None:
    assert platform.put(URL, DOCUMENT).json()["revision"] == 1


def test_a_faulty_document_changes_nothing(platform: Person) -> None:
    answer = platform.put(URL, FAULTY)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:hector:problem:config_invalid")
    assert pointers(answer) == ["/agents/a/llm"]
    assert pointers(platform.put(URL, {"config": FAULTY})) == ["/config/agents/a/llm"]
    assert platform.get(URL).json() == DOCUMENT


def test_a_fault_in_yaml_has_its_line(platform: Person) -> None:
    answer = platform("PUT", URL, raw=b"version: '2'\nagents:\n  a: {llm: missing}\n", Content_Type="application/yaml")
    assert answer.status_code == 400 and "Line 3" in answer.json()["detail"]


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"7", b'{"config": null}', b'{"config": 7}', b'{"a": "\\u0000"}'])
def test_what_is_no_document_is_refused(platform: Person, raw: bytes) -> None:
    assert platform("PUT", URL, raw=raw, Content_Type="application/json").status_code == 400
    assert platform.get(URL).json() == DOCUMENT


def test_who_did_not_see_the_newest_revision_gets_409(platform: Person) -> None:
    assert platform.put(URL, OTHER, If_Match='"1"').status_code == 200
    answer = platform.put(URL, DOCUMENT, If_Match='"1"')
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:hector:problem:revision_conflict")
    assert platform.put(URL, {"config": DOCUMENT, "expected_revision": 1}).status_code == 409
    assert platform.put(URL, {"config": DOCUMENT, "expected_revision": 2}).status_code == 200
    assert platform.put(URL, DOCUMENT, If_Match="abc").status_code == 400


def test_of_two_at_once_that_saw_the_same_one_wins(platform: Person) -> None:
    together, codes = threading.Barrier(4), []

    def put(number: int) -> None:
        together.wait()
        try:
            document = agents.document({f"agent{number}": agents.function("echo")})
            codes.append(platform.put(URL, document, If_Match='"1"').status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=put, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 409, 409, 409]


def test_going_back_is_a_new_revision_with_the_old_document(platform: Person) -> None:
    platform.put(URL, OTHER)
    answer = platform.post(f"{URL}/revisions/1/rollback")
    assert (answer.status_code, answer.json()["revision"], answer.json()["config"]) == (200, 3, DOCUMENT)
    assert names(platform) == ["clerk", "echo", "sleeper"]


@pytest.mark.parametrize("number", ["0", "9", "99999999999999999999"])
def test_there_is_no_going_back_to_what_never_was(platform: Person, number: str) -> None:
    assert platform.post(f"{URL}/revisions/{number}/rollback").status_code == 404


def test_a_task_keeps_the_version_it_was_submitted_with(platform: Person) -> None:
    before: dict[str, Any] = platform.submits()
    platform.put(URL, agents.document({"echo": agents.function("echo", description="Another")}))
    after = platform.submits()
    assert before["agent_version"] != after["agent_version"]
    assert platform.get(f"/tasks/{before['id']}").json()["agent_version"] == before["agent_version"]
