"""Tokens over HTTP: of people, for their passwords; of Apps, from the operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jwt
import pytest

from apps.accounts.models import User
from apps.tenancy import tokens
from apps.tenancy.models import App, Membership
from tests.api.conftest import Person, pointers
from tests.support.issuer import Issuer, running, token

PASSWORD = "a good password"


@pytest.fixture
def mia(world: None) -> User:
    user = User.objects.create_user("mia", password=PASSWORD)
    Membership.objects.create(user=user, app=App.objects.get(name="acme"), role="operator")
    return user


def log_in(stranger: Person, **more: Any) -> Any:
    return stranger.post("/auth/token", {"username": "mia", "password": PASSWORD} | more)


def test_a_person_logs_in_works_refreshes_and_logs_out(mia: User, stranger: Person) -> None:
    answer = log_in(stranger)
    assert answer.status_code == 200 and answer["Cache-Control"] == "no-store"
    pair = answer.json()
    task = Person(pair["access"]).submits()
    claims = jwt.decode(pair["access"], options={"verify_signature": False})
    assert (claims["tenant_id"], claims["role"]) == ("acme", "operator") and claims["jti"]
    after = stranger.post("/auth/token/refresh", {"refresh": pair["refresh"]}).json()
    assert Person(after["access"]).get(f"/tasks/{task['id']}").status_code == 200
    assert stranger.post("/auth/token/refresh", {"refresh": pair["refresh"]}).status_code == 401
    tokens.forget()
    assert Person(after["access"]).get("/tasks").status_code == 401


def test_a_token_is_revoked_by_who_has_it(mia: User, stranger: Person) -> None:
    pair = log_in(stranger).json()
    assert stranger.post("/auth/token/revoke", {"token": pair["refresh"]}).status_code == 204
    assert Person(pair["access"]).get("/tasks").status_code == 401
    assert stranger.post("/auth/token/revoke", {"token": "garbage"}).status_code == 204


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"password": "wrong"}, 401, None),
        ({"username": "nobody"}, 401, None),
        ({"app": "globex"}, 403, None),
        ({"app": "no-such"}, 403, None),
        ({"app": 5}, 400, "/app"),
        ({"role": "admin"}, 400, "/role"),
    ],
)
def test_what_is_refused(mia: User, stranger: Person, body: dict[str, Any], status: int, pointer: str | None) -> None:
    answer = log_in(stranger, **body)
    assert answer.status_code == status
    assert pointers(answer) == ([pointer] if pointer else [])
    if status == 401:
        assert answer["WWW-Authenticate"] == 'Bearer realm="Hector"'


def test_who_belongs_to_several_apps_is_asked_which(mia: User, stranger: Person) -> None:
    Membership.objects.create(user=mia, app=App.objects.get(name="globex"), role="viewer")
    answer = log_in(stranger)
    assert (answer.status_code, pointers(answer)) == (400, ["/app"])
    assert "acme, globex" in answer.json()["detail"]
    outside = Person(log_in(stranger, app="globex").json()["access"])
    assert outside.get("/tasks").status_code == 200
    assert outside.post("/tasks", {"agent": "echo", "input": "x"}).status_code == 403, "a viewer there"


def test_somebody_who_was_deactivated_is_out(mia: User, stranger: Person) -> None:
    person = Person(log_in(stranger).json()["access"])
    User.objects.update(is_active=False)
    tokens.forget()
    assert person.get("/tasks").status_code == 401
    assert log_in(stranger).status_code == 401


def test_a_suspended_app_is_said_to_be_so(mia: User, stranger: Person) -> None:
    person = Person(log_in(stranger).json()["access"])
    App.objects.filter(name="acme").update(status=App.Status.SUSPENDED)
    answer = person.get("/tasks")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:hector:problem:app_suspended")


def test_a_superusers_token_does_what_the_operator_secret_does(world: None, stranger: Person) -> None:
    User.objects.create_superuser("olga", password=PASSWORD)
    olga = Person(log_in(stranger, username="olga").json()["access"], **{"X-Hector-App": "globex"})
    assert olga.get("/admin/apps").status_code == 200
    task = olga.submits()
    assert olga.get(f"/tasks/{task['id']}", X_Hector_App="acme").status_code == 404
    of_acme = Person(log_in(stranger, username="olga", app="acme").json()["access"])
    assert of_acme.get("/admin/apps").status_code == 403, "it is good for acme only"


def test_credentials_in_the_header_are_no_hindrance_to_logging_in(mia: User) -> None:
    assert log_in(Person("expired or garbage")).status_code == 200


def test_the_published_keys_verify_a_token(mia: User, stranger: Person) -> None:
    access = log_in(stranger).json()["access"]
    published = stranger.get("/.well-known/jwks.json").json()["keys"]
    (key,) = [key for key in published if key["kid"] == jwt.get_unverified_header(access)["kid"]]
    assert "d" not in key
    assert jwt.decode(access, jwt.PyJWK(key), algorithms=["ES256"])["sub"] == "mia"


# --- Tokens of Apps -----------------------------------------------------------------------------------------------
def test_an_apps_tokens_are_listed_and_one_is_revoked(platform: Person) -> None:
    made = platform.post("/admin/apps/acme/token", {"role": "operator", "note": "CI", "expires_in": 3600})
    assert made["Cache-Control"] == "no-store"
    token = made.json()["access_token"]
    program = Person(token)
    assert program.get("/tasks").status_code == 200
    first = platform.get("/admin/apps/acme/tokens").json()["results"][0]
    assert (first["role"], first["note"], first["created_by"], first["revoked_at"]) == (
        "operator", "CI", "operator", None,
    )  # fmt: skip
    assert token not in platform.get("/admin/apps/acme/tokens").content.decode()
    assert platform.delete(f"/admin/apps/globex/tokens/{first['id']}").status_code == 404
    assert platform.delete(f"/admin/apps/acme/tokens/{first['id']}").status_code == 204
    assert program.get("/tasks").status_code == 401
    assert platform.delete(f"/admin/apps/acme/tokens/{first['id']}").status_code == 404
    assert platform.get("/admin/apps/acme/tokens").json()["results"][0]["revoked_by"] == "operator"


# --- Another issuer -----------------------------------------------------------------------------------------------
@pytest.fixture
def issuer(settings: Any) -> Iterator[Issuer]:
    with running(settings) as made:
        yield made


def test_the_people_of_another_issuer_use_the_api(world: None, issuer: Issuer, settings: Any) -> None:
    zoe = Person(token())
    task = zoe.submits()
    assert zoe.get(f"/tasks/{task['id']}/events").json()["results"][0]["actor"] == "ext:zoe"
    assert Person(token(role=None)).post("/tasks", {"agent": "echo", "input": "x"}).status_code == 403
    assert zoe.get("/admin/apps").status_code == 403
    elsewhere = Person(token(tenant_id="globex")).get("/tasks")
    assert (elsewhere.status_code, elsewhere.json()["type"]) == (403, "urn:hector:problem:issuer_not_allowed")
    settings.HECTOR_AUTH_APPS = ["acme", "no-such"]
    unknown = Person(token(tenant_id="no-such")).get("/tasks")
    assert (unknown.status_code, unknown.json()["type"]) == (403, "urn:hector:problem:app_gone")
    assert Person(token(aud="another")).get("/tasks").status_code == 401


def test_an_issuer_that_is_away_is_said_to_be_so(world: None, issuer: Issuer) -> None:
    issuer.status = 500
    answer = Person(token()).get("/tasks")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
