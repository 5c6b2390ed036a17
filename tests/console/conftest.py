"""The cast: an operator at the console, in the App `acme`, which has two agents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from apps.accounts.models import User
from apps.queue import workers
from apps.queue.models import Worker
from apps.tenancy.models import App, Membership
from tests.support import agents

FORM = {
    "type": "object",
    "required": ["text", "style"],
    "properties": {
        "text": {"type": "string", "title": "Your text"},
        "style": {"enum": ["short", "long"], "type": "string"},
        "pages": {"type": "integer", "minimum": 1},
        "draft": {"type": "boolean"},
        "extra": {"type": "object"},
    },
}


@pytest.fixture
def operator(db: None) -> User:
    return User.objects.create_superuser("olga", password="a good password")


@pytest.fixture
def staff(db: None) -> User:
    """Somebody of the staff who is no platform operator."""
    return User.objects.create_user("stan", password="a good password", is_staff=True)


def member(name: str, role: str, app: App) -> User:
    """Somebody with that role in the App, and in no other."""
    user = User.objects.create_user(name, password="a good password")
    Membership.objects.create(user=user, app=app, role=role)
    return user


@pytest.fixture
def approver(app: App) -> User:
    return member("anna", "approver", app)


@pytest.fixture
def configured(app: App, settings: Any) -> App:
    settings.HECTOR_FUNCTION_ALLOW = ["tests.support"]
    made = {"echo": agents.function("echo"), "report": agents.function("echo", input_schema=FORM)}
    agents.apply(app, agents.document(made), by="olga", comment="The first one")
    return app


@pytest.fixture
def console(configured: App, operator: User, client: Client) -> Client:
    """The operator's browser, with `acme` chosen."""
    client.force_login(operator)
    session = client.session
    session["app"] = "acme"
    session.save()
    return client


@pytest.fixture
def worker(configured: App) -> Worker:
    return workers.register(slots=2)


@pytest.fixture
def read(console: Client) -> Callable[[str], str]:
    """The text of a page that must be there."""

    def of(path: str) -> str:
        answer: HttpResponse = console.get(path)  # type: ignore[assignment]
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.content.decode()

    return of


def pytest_itemcollected(item: pytest.Item) -> None:
    """What a page shows does not hang on the database: what it asks for is tested where it is asked."""
    if item.get_closest_marker("sampled") is None:
        item.add_marker(pytest.mark.sampled("sqlite"))
