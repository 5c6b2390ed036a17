"""Secrets that an App uses everywhere it can are nowhere to be read afterwards.

Not in the database, a log, an event, an answer of the API, a page, a message or an archive, even where servers and
programs say again what they were told.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import logging
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.test import Client

from apps.accounts.models import User
from apps.accounts.permissions import OPERATIONS
from apps.ops import archive
from apps.queue import suspension
from apps.sessions.models import Session
from apps.tasks.models import Task, TaskStatus
from apps.tenancy import secrets, tokens
from apps.tenancy.models import App
from apps.triggers.models import Delivery
from hector_site import logs
from tests.api.conftest import Person
from tests.api.test_permissions import routes
from tests.support import environment
from tests.support.agents import apply, one_llm_agent, submit
from tests.support.http_server import Answer, LocalServer, Request
from tests.support.model_server import ModelServer, calls, error, says
from tests.support.work import ended, wait_for, working

PLANTED = {
    "MODEL": "sk-planted-of-the-model",
    "SERVICE": "planted-of-the-service",
    "PROGRAM": "planted-of-the-program",
    "HOOK": "whsec_" + base64.b64encode(b"planted-of-the-webhook-it-signs").decode(),
}
TRACES = {text for value in PLANTED.values() for text in (value, base64.b64encode(value.encode()).decode())}


def echo(request: Request) -> Answer:
    """A server that says again all that it was told."""
    return Answer(json.dumps({"headers": dict(request.headers)}).encode(), headers={"Content-Type": "application/json"})


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What is logged, as the log file has it."""
    file = io.StringIO()
    handler = logging.StreamHandler(file)
    handler.setFormatter(logs.formatter("json"))
    logging.getLogger().addHandler(handler)
    yield file
    logging.getLogger().removeHandler(handler)


@pytest.fixture
def tasks(app: App, transactional_db: None, settings: Any) -> Iterator[list[Task]]:
    """One that has used all of the secrets, and one that was told its own by a model that refused it."""
    settings.HECTOR_HTTP_ALLOW, settings.HECTOR_FUNCTION_ALLOW = ["127.0.0.1"], ["tests"]
    for name, value in PLANTED.items():
        secrets.put(app, name, value)
    show = [sys.executable, "-c", "import os, sys; print(dict(os.environ)); sys.exit(1)"]
    with ModelServer() as model, LocalServer(echo) as service:
        tools = {
            "service": {
                "type": "http", "url": service.url, "description": "Echoes",
                "headers": {"Authorization": "Bearer ${secret:SERVICE}", "X-Key": "${secret:SERVICE}"},
            },
            "program": {"type": "command", "command": show, "env": {"KEY": "${secret:PROGRAM}"}},
            "memory": {"type": "session"},
        }  # fmt: skip
        llm = {"provider": "openai", "model": "m", "base_url": model.url, "api_key": "${secret:MODEL}"}
        hook = {"events": ["execution_completed", "execution_failed"], "url": service.url, "secret": "${secret:HOOK}"}
        document = one_llm_agent(llm=llm, tools=tools) | {"notifications": [hook | {"include_payload": True}]}
        apply(app, document, by="tests")
        model.script(calls(("service", {}), ("program", {}), ("remember", {"key": "k", "value": 1})), says("Done."))
        with working():
            used = ended(submit(app, session="s"))
            model.script(error(401, f"wrong key {PLANTED['MODEL']}"))
            refused = ended(submit(app, session="s"))
            wait_for(lambda: Delivery.objects.filter(status="delivered").count() == 2, what="both are told")
        assert (used.status, refused.status) == (TaskStatus.COMPLETED, TaskStatus.FAILED)
        assert model.requests[0].headers["authorization"] == f"Bearer {PLANTED['MODEL']}"
        assert service.requests[0].headers["x-key"] == PLANTED["SERVICE"], "they were used"
        results = str([point.content for point in used.checkpoints.filter(kind="tool_result")])
        assert "authorization" in results and "KEY" in results, results
        yield [used, refused]


def found_in(text: str) -> set[str]:
    return {trace for trace in TRACES if trace in text}


def test_no_planted_secret_can_be_read_anywhere(app: App, written: io.StringIO, tasks: list[Task]) -> None:
    assert found_in(database()) == set()
    assert found_in(answers(tasks)) == set()
    suspension.suspend(app, by="tests")
    archive.export(app, file := io.BytesIO(), by="tests")
    whole = gzip.decompress(file.getvalue()).decode()
    assert "tool_result" in whole and found_in(whole) == set()
    assert "app_suspended" in written.getvalue() and found_in(written.getvalue()) == set()


def database() -> str:
    """Every row that the App can reach, in its own schema and the shared one, and on SQLite the files themselves."""
    cells: list[Any] = []
    with connection.cursor() as cursor:
        for model in apps.get_models():
            cursor.execute(f'SELECT * FROM "{model._meta.db_table}"')
            cells += [cell for row in cursor.fetchall() for cell in row]
    texts = [_unpacked(bytes(cell)) if isinstance(cell, bytes | memoryview) else str(cell) for cell in cells]
    assert any("tool_call_completed" in text for text in texts)
    if connection.vendor == "sqlite":
        files = [path for path in Path(connection.settings_dict["NAME"]).parent.rglob("*") if path.is_file()]
        assert files
        texts += [path.read_bytes().decode("latin-1") for path in files]
    return "\n".join(texts)


def _unpacked(cell: bytes) -> str:
    try:
        return zlib.decompress(cell).decode()
    except zlib.error:
        return cell.decode("latin-1")


def answers(tasks: list[Task]) -> str:
    """Whatever the API and the console show to those who may see everything."""
    ids = [str(task.pk) for task in tasks] + [str(Session.objects.get().pk), str(Delivery.objects.latest("pk").pk)]
    people = [
        Person(environment.SECRETS["HECTOR_AUTH_SECRET"], **{"X-Hector-App": "acme"}),
        Person(tokens.issue_app_token("acme", role="admin")),
    ]
    paths = {
        "/" + path.replace("<uuid:id>", one).replace("<int:seq>", str(seq)).replace("<str:name>", "acme")
        for path, entry in routes()
        if "GET" in OPERATIONS.get(entry.name or "", {})
        for one in ids
        for seq in range(1, 6)
    }
    said = [person.get(path).content for path in sorted(paths) if "<" not in path for person in people]
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="a good password"))
    pages = ["", "tasks/", *(f"tasks/{task.pk}/" for task in tasks), "configuration/", "notifications/", "audit/"]
    said += [client.get(f"/admin/{page}?app=acme").content for page in pages]
    assert sum(b"tool_call_completed" in answer for answer in said) >= 2
    return "\n".join(answer.decode() for answer in said)
