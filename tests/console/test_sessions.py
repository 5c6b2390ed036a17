"""The pages about sessions."""

from __future__ import annotations

import pytest
from django.test import Client

from apps.accounts.models import User
from apps.sessions import store
from apps.sessions.models import Session
from apps.tasks import lifecycle
from apps.tasks.lifecycle import NewTask
from apps.tasks.models import Event, Task
from apps.tenancy.models import App
from tests.console.conftest import member

SAID = [
    {"kind": "request", "parts": [{"part_kind": "user-prompt", "content": "I am <b>Zaphod</b>."}]},
    {"kind": "response", "parts": [{"part_kind": "text", "content": "Hello."}]},
]


@pytest.fixture
def session(configured: App) -> Session:
    """With one turn and a state; its task has ended."""
    made = store.session_of("echo", "s-1")
    task = lifecycle.submit(configured, NewTask("echo", "hello", session="s-1"), by="tests")
    store.add_turn(made.pk, task.pk, SAID)
    store.put(made.pk, task.pk, {"heads": 2}, store.Seen())
    lifecycle.cancel(configured, task, by="tests")
    return made


@pytest.fixture
def otto(configured: App) -> User:
    return member("otto", "operator", configured)


def test_sessions_are_listed_with_what_they_have(session: Session, client: Client, otto: User) -> None:
    client.force_login(otto)
    listed = client.get("/admin/sessions/").content.decode()
    assert f"/admin/sessions/{session.pk}/" in listed and "s-1" in listed
    assert "No session is here" in client.get("/admin/sessions/?session=other").content.decode()


def test_a_session_shows_its_conversation_as_text_and_its_state(session: Session, client: Client, otto: User) -> None:
    client.force_login(otto)
    shown = client.get(f"/admin/sessions/{session.pk}/").content.decode()
    assert "I am &lt;b&gt;Zaphod&lt;/b&gt;." in shown and "Hello." in shown and "heads" in shown
    assert "delete/" in shown


def test_who_sees_no_payloads_sees_neither(session: Session, configured: App, client: Client) -> None:
    client.force_login(member("vera", "viewer", configured))
    shown = client.get(f"/admin/sessions/{session.pk}/")
    assert shown.status_code == 200
    assert not any(text in shown.content.decode() for text in ("Zaphod", "Hello.", "heads", "delete/"))


def test_a_session_is_deleted_with_a_reason_once_its_tasks_have_ended(
    session: Session, configured: App, client: Client, otto: User
) -> None:
    client.force_login(otto)
    task = lifecycle.submit(configured, NewTask("echo", "hello", session="s-1"), by="tests")
    path = f"/admin/sessions/{session.pk}/delete/"
    assert "have not ended" in client.get(path).content.decode()
    assert client.post(path, {"app": configured.name}).status_code == 409
    lifecycle.cancel(configured, task, by="tests")
    assert "deleted for good" in client.get(path).content.decode()
    assert client.post(path, {"app": configured.name, "reason": "asked to"})["Location"] == "/admin/sessions/"
    assert not Session.objects.exists() and Task.objects.count() == 2
    assert Event.objects.get(type="session_deleted").payload["reason"] == "asked to"
