"""Another App's object does not exist."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest

from apps.accounts.models import User
from apps.accounts.permissions import OPERATIONS, Need
from apps.tasks.models import Task
from apps.tenancy import lifecycle, tokens
from apps.tenancy.context import in_app
from apps.tenancy.models import Membership
from tests.api.conftest import Person
from tests.api.test_permissions import methods, routes
from tests.support import issuer
from tests.support.traces import AGENT, Filled, fill


@pytest.fixture
def acme(world: None) -> Filled:
    return fill(lifecycle.get("acme"))


def app_token() -> str:
    return tokens.issue_app_token("globex", role="admin")


def persons_token() -> str:
    user = User.objects.create_user("gus", password="a good password")
    Membership.objects.create(user=user, app=lifecycle.get("globex"), role="admin")
    return tokens.log_in(user, None).access


def other_issuers_token() -> str:
    return issuer.token(tenant_id="globex", role="admin")


@pytest.mark.parametrize("credentials", [app_token, persons_token, other_issuers_token])
@pytest.mark.parametrize("headers", [{}, {"X-Hector-App": "acme"}], ids=["", "naming-the-app"])
def test_an_outsider_finds_nothing_of_another_app_at_any_address(
    credentials: Callable[[], str], headers: dict[str, str], acme: Filled, settings: Any
) -> None:
    before, traces = acme.rows(), acme.traces()
    with issuer.running(settings):
        settings.HECTOR_AUTH_APPS = ["globex"]
        outsider = Person(credentials(), **headers)
        for path, entry in routes():
            for method, address in product(sorted(methods(entry)), acme.addresses(f"/{path}")):
                answer = outsider(method, address, BODIES.get(entry.name or "", lambda _: {})(acme))
                if refuses(entry.name or "", method, f"/{path}", address):
                    assert answer.status_code in (403, 404), (method, address)
                said = b"".join(answer) if answer.streaming else answer.content
                found = {trace for trace in traces - set(address.split("/")) if trace.encode() in said}
                assert found == set(), (method, address)
    assert acme.rows() == before, "and nothing has changed"


BODIES: dict[str, Callable[[Filled], dict[str, Any]]] = {  # of operations that name things in the body
    "dead-letter-bulk": lambda acme: {"action": "discard", "ids": [acme.letter]},
    "tasks": lambda acme: {"agent": AGENT, "input": "hello"},
}


def refuses(route: str, method: str, path: str, address: str) -> bool:
    """Whether the address is one of an App's own things, which is not found, or of a page that is not for outsiders."""
    need = OPERATIONS[route][method]
    return need == Need.PLATFORM or (need != Need.NOBODY and path != address)


def test_what_an_outsider_names_in_a_body_is_not_there_either(acme: Filled, outsider: Person) -> None:
    for path, name in (("/dead-letters/bulk", "dead-letter-bulk"), ("/tasks", "tasks")):
        assert 400 <= outsider.post(path, BODIES[name](acme)).status_code < 500
    for task in acme.ids:
        assert outsider.get(f"/tasks/{task}/events", Accept="text/event-stream").status_code == 404


def test_an_outsider_sees_nothing_in_lists(admin: Person, outsider: Person) -> None:
    admin.submits(tags=["ours"])
    for query in ("", "?tag=ours", "?q=hello", "?agent=echo"):
        assert outsider.get(f"/tasks{query}").json()["results"] == []


def test_a_key_of_one_app_means_nothing_in_another(admin: Person, outsider: Person) -> None:
    body = {"agent": "echo", "input": "hello"}
    ours = admin.post("/tasks", body, Idempotency_Key="k-1").json()
    theirs = outsider.post("/tasks", body, Idempotency_Key="k-1")
    assert "Idempotency-Replayed" not in theirs.headers
    assert theirs.json()["id"] != ours["id"]


@pytest.mark.parametrize("field", ["tenant_id", "app", "app_id", "X-Hector-App", "schema_name"])
def test_no_field_of_a_body_chooses_the_app(admin: Person, field: str) -> None:
    answer = admin.post("/tasks", {"agent": "echo", "input": "hello", field: "globex"})
    assert answer.status_code == 400
    with in_app("globex"):
        assert not Task.objects.exists()


def test_an_apps_admin_is_no_operator_of_the_installation(admin: Person) -> None:
    for method, path in [
        ("GET", "/admin/apps"),
        ("GET", "/admin/apps/acme"),
        ("POST", "/admin/apps/acme/token"),
        ("PUT", "/admin/apps/acme/secrets/KEY"),
        ("PUT", "/admin/apps/globex/config"),
        ("DELETE", "/admin/apps/globex"),
        ("GET", "/admin/queue"),
    ]:
        assert admin(method, path).status_code == 403, (method, path)
