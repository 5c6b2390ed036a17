"""/admin/apps: Apps, their tokens and secrets."""

from __future__ import annotations

from typing import Any

import pytest

from apps.accounts.signing import verify
from apps.queue import leases, workers
from apps.queue.models import QueueEntry
from apps.tenancy import secrets
from apps.tenancy.models import App
from tests.api.conftest import DOCUMENT, Person, pointers
from tests.support import agents

YAML = """
version: "2"
llms:
  main: {provider: openai, model: m, api_key: "${secret:OPENAI_API_KEY}"}
agents:
  helper: {llm: main}
"""
BAD = agents.document({"a": {"type": "llm", "llm": "missing"}, "b": {"type": "llm", "colour": "red"}})


def test_an_app_is_created_with_its_agents_and_a_token_that_works(platform: Person) -> None:
    answer = platform.post("/admin/apps", {"name": "shop", "config": DOCUMENT, "weight": 3, "max_concurrent": 9})
    assert answer.status_code == 201
    body = answer.json()
    assert set(body) == {"app", "access_token", "token_type"} and body["token_type"] == "bearer"
    assert body["app"].pop("created_at")
    assert body["app"] == {
        "name": "shop",
        "display_name": "",
        "status": "active",
        "weight": 3,
        "max_concurrent": 9,
        "config": DOCUMENT,
        "revision": 1,
        "retention": {"tasks": "30d", "tasks_max": 1_000_000, "dead_letters": "30d", "notifications": "30d", "own": []},
        "limits": {},
    }
    task = Person(body["access_token"]).submits()
    assert Person(body["access_token"]).get(f"/tasks/{task['id']}").status_code == 200
    assert platform.get(answer["Location"]).json()["name"] == "shop"


def test_an_app_may_start_empty(platform: Person) -> None:
    app = platform.post("/admin/apps", {"name": "empty"}).json()["app"]
    assert (app["config"], app["revision"], app["weight"], app["max_concurrent"]) == ({}, 0, 1, None)


def test_a_document_may_be_yaml_and_secrets_stay_references(platform: Person) -> None:
    platform.post("/admin/apps", {"name": "shop", "config": YAML})
    platform.put("/admin/apps/shop/secrets/OPENAI_API_KEY", {"value": "sk-very-secret"})
    answer = platform.get("/admin/apps/shop")
    assert answer.json()["config"]["llms"]["main"]["api_key"] == "${secret:OPENAI_API_KEY}"
    assert b"sk-very-secret" not in answer.content


def test_a_taken_name_is_409(platform: Person) -> None:
    answer = platform.post("/admin/apps", {"name": "acme", "config": DOCUMENT})
    assert (answer.status_code, pointers(answer)) == (409, ["/name"])


@pytest.mark.parametrize("name", ["", "Shop", "1shop", "a_b", "a" * 49, "ü", "a b", "../x", "a\n"])
def test_a_name_that_cannot_be_is_refused(platform: Person, name: str) -> None:
    answer = platform.post("/admin/apps", {"name": name})
    assert (answer.status_code, pointers(answer)) == (400, ["/name"])


@pytest.mark.parametrize("config", [BAD, "agents: [", "", "- a list", [], 7, "&a [*a]"])
def test_a_bad_document_creates_nothing(platform: Person, config: Any) -> None:
    answer = platform.post("/admin/apps", {"name": "shop", "config": config})
    assert answer.status_code == 400
    assert all(pointer.startswith("/config") for pointer in pointers(answer)) and pointers(answer)
    assert platform.get("/admin/apps/shop").status_code == 404
    assert not App.objects.filter(name="shop").exists()


def test_every_fault_of_a_document_is_pointed_at(platform: Person) -> None:
    answer = platform.post("/admin/apps", {"name": "shop", "config": BAD})
    assert {"/config/agents/a/llm", "/config/agents/b/colour"} <= set(pointers(answer))


@pytest.mark.parametrize(
    "fields", [{"weight": 0}, {"weight": "2"}, {"max_concurrent": 0}, {"display_name": "x" * 201}, {"owner": "me"}]
)
def test_settings_that_cannot_be_are_refused(platform: Person, fields: dict[str, Any]) -> None:
    assert platform.post("/admin/apps", {"name": "shop", **fields}).status_code == 400
    assert platform.patch("/admin/apps/acme", fields).status_code == 400


def test_apps_are_listed_the_newest_first(platform: Person) -> None:
    platform.post("/admin/apps", {"name": "shop"})
    listed = platform.get("/admin/apps").json()
    assert [app["name"] for app in listed["results"]] == ["shop", "globex", "acme", "default"]
    assert listed["results"][1]["config"] == DOCUMENT


def test_settings_are_changed_one_by_one(platform: Person) -> None:
    assert platform.patch("/admin/apps/acme", {"weight": 5, "display_name": "Acme & Co"}).status_code == 200
    app = platform.patch("/admin/apps/acme", {"max_concurrent": 2, "status": "active"}).json()
    assert (app["weight"], app["display_name"], app["max_concurrent"]) == (5, "Acme & Co", 2)
    assert platform.patch("/admin/apps/acme", {"max_concurrent": None}).json()["max_concurrent"] is None


def test_what_does_not_fit_goes_on_when_more_may_run(platform: Person, operator: Person) -> None:
    platform.patch("/admin/apps/acme", {"max_concurrent": 1})
    for _ in range(3):
        operator.submits()
    assert len(leases.claim(workers.register(slots=4).pk, 4)) == 1
    assert platform.get("/admin/queue").json()["apps"]["acme"]["parked"] == 2
    platform.patch("/admin/apps/acme", {"max_concurrent": None})
    assert QueueEntry.objects.filter(state="ready").count() == 2


def test_a_deleted_app_is_gone_with_its_work(platform: Person) -> None:
    token = platform.post("/admin/apps", {"name": "shop", "config": DOCUMENT}).json()["access_token"]
    person = Person(token)
    person.submits()
    answer = platform.delete("/admin/apps/shop")
    assert (answer.status_code, answer.json()) == (202, {"name": "shop", "status": "deleted"})
    assert platform.get("/admin/apps/shop").status_code == 404
    assert platform.delete("/admin/apps/shop").status_code == 404
    assert person.get("/tasks").status_code == 403
    assert not QueueEntry.objects.exists()
    assert platform.post("/admin/apps", {"name": "shop"}).status_code == 201


def test_an_app_says_that_it_is_being_deleted(platform: Person) -> None:
    platform.post("/admin/apps", {"name": "shop", "config": DOCUMENT})
    App.objects.filter(name="shop").update(status="deleting")
    found = platform.get("/admin/apps/shop").json()
    assert (found["status"], found["config"]) == ("deleting", {})
    assert platform.get("/admin/apps").json()["results"][0]["status"] == "deleting"
    assert platform.delete("/admin/apps/shop").status_code == 404
    assert platform.post("/admin/apps", {"name": "shop"}).status_code == 409


def test_the_default_app_stays(platform: Person) -> None:
    assert platform.delete("/admin/apps/default").status_code == 403


def test_a_token_has_the_role_and_the_time_that_were_asked_for(platform: Person) -> None:
    answer = platform.post("/admin/apps/acme/token", {"role": "viewer", "expires_in": 3600})
    assert (answer.status_code, answer.json()["expires_in"]) == (201, 3600)
    claims = verify(answer.json()["access_token"])
    assert (claims.tenant_id, claims.role) == ("acme", "viewer")
    person = Person(answer.json()["access_token"])
    assert person.get("/tasks").status_code == 200
    assert person.post("/tasks", {"agent": "echo", "input": "x"}).status_code == 403


@pytest.mark.parametrize(
    "fields", [{"role": "root"}, {"role": None}, {"expires_in": 0}, {"expires_in": "1h"}, {"expires_in": 10**12}]
)
def test_a_token_that_cannot_be_is_refused(platform: Person, fields: dict[str, Any]) -> None:
    assert platform.post("/admin/apps/acme/token", fields).status_code == 400


def test_secrets_are_written_and_never_read(platform: Person) -> None:
    assert platform.put("/admin/apps/acme/secrets/API_KEY", {"value": "s3cret"}).status_code == 204
    assert platform.put("/admin/apps/acme/secrets/API_KEY", {"value": "n3w"}).status_code == 204
    app = App.objects.get(name="acme")
    assert secrets.values(app) == {"API_KEY": "n3w"}
    listed = platform.get("/admin/apps/acme/secrets")
    assert [(row["name"], set(row)) for row in listed.json()["results"]] == [("API_KEY", {"name", "updated_at"})]
    assert platform.get("/admin/apps/acme/secrets/API_KEY").status_code == 405
    assert platform.delete("/admin/apps/acme/secrets/API_KEY").status_code == 204
    assert platform.delete("/admin/apps/acme/secrets/API_KEY").status_code == 404


@pytest.mark.parametrize("body", [{}, {"value": 5}, {"value": ""}, {"value": "x" * 65537}, "text", None])
def test_a_secret_is_text(platform: Person, body: Any) -> None:
    assert platform.put("/admin/apps/acme/secrets/API_KEY", body).status_code == 400


@pytest.mark.parametrize("key", ["1KEY", "A-B", "K" * 101])
def test_a_secret_has_a_name_that_documents_can_write(platform: Person, key: str) -> None:
    assert platform.put(f"/admin/apps/acme/secrets/{key}", {"value": "v"}).status_code == 400


def test_an_app_keeps_what_it_says_and_for_the_rest_what_the_installation_does(platform: Person, settings: Any) -> None:
    answer = platform.patch("/admin/apps/acme", {"retention": {"tasks": "7d", "tasks_max": 10}})
    assert answer.status_code == 200
    settings.HECTOR_RETENTION_DEAD_LETTERS = 3600.0
    wanted: dict[str, Any] = {"tasks": "7d", "tasks_max": 10, "dead_letters": "1h", "notifications": "30d"}
    wanted["own"] = ["tasks", "tasks_max"]
    assert platform.get("/admin/apps/acme").json()["retention"] == wanted
    assert platform.get("/admin/apps/globex").json()["retention"]["own"] == []
    answer = platform.patch(
        "/admin/apps/acme", {"retention": {"tasks": None, "dead_letters": 0, "notifications": "1d"}}
    )
    wanted = {"tasks": "30d", "tasks_max": 10, "dead_letters": "0s", "notifications": "1d"}
    wanted["own"] = ["dead_letters", "notifications", "tasks_max"]
    assert answer.json()["retention"] == wanted


@pytest.mark.parametrize(
    ("field", "value"),
    [("tasks", "soon"), ("tasks", -1), ("tasks", True), ("tasks", "9999d"), ("tasks_max", "7"), ("tasks_max", -1),
     ("dead_letters", []), ("events", "1d")],
)  # fmt: skip
def test_a_retention_that_cannot_be_is_refused(platform: Person, field: str, value: Any) -> None:
    answer = platform.patch("/admin/apps/acme", {"retention": {field: value}})
    assert (answer.status_code, pointers(answer)) == (400, [f"/retention/{field}"])
    assert platform.patch("/admin/apps/acme", {"retention": None}).status_code == 400
    assert platform.get("/admin/apps/acme").json()["retention"]["own"] == []
