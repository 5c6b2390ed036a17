"""A worker that runs many Apps at once mixes nothing of them: each finds its own marker, everywhere, and no other's."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import pytest

from apps.sessions import store
from apps.sessions.models import Session
from apps.tasks.models import FINAL, Checkpoint, Event, Task, TaskStatus
from apps.tenancy import lifecycle, secrets
from apps.tenancy.context import in_app
from hector_site import logs
from tests.support.agents import apply, call, document, function, function_tool, scripted, submit
from tests.support.http_server import Answer, LocalServer, Request
from tests.support.work import wait_for, working

APPS = 50
TASKS = 3  # of each agent in each App
MARKER = re.compile(r"marker-\d{3}-")


def marker(number: int) -> str:
    return f"marker-{number:03}-"


def echo(request: Request) -> Answer:
    """Says which App's key came with the request."""
    said = {"path": request.path, "key": request.headers["x-app"]}
    return Answer(json.dumps(said).encode(), headers={"Content-Type": "application/json"})


def made_for(number: int, url: str) -> dict[str, Any]:
    """The same agents in every App, under the same names; what they say, keep and send has the App's marker."""
    mine = marker(number)
    turns = [
        {"calls": [
            {"tool": "command", "arguments": {"text": mine}},
            {"tool": "report", "arguments": {"text": mine}},
            {"tool": "service", "arguments": {"text": mine}},
            {"tool": "remember", "arguments": {"key": "mine", "value": mine}},
        ]},
        call("recall"),
        {"text": f"{mine}done"},
    ]  # fmt: skip
    text = {"text": {"type": "string"}}
    tools = {
        "command": {
            "type": "command", "command": ["sh", "-c", "echo $KEY $(basename $(pwd)) $0", "{text}"],
            "parameters": text, "description": "Says", "env": {"KEY": "${secret:NAME}"}, "idempotent": True,
        },
        "report": function_tool("say_again", idempotent=True),
        "service": {
            "type": "http", "url": f"{url}/{{text}}", "parameters": text, "description": "Asks",
            "headers": {"X-App": f"{mine}${{secret:NAME}}"}, "idempotent": True,
        },
        "memory": {"type": "session"},
    }  # fmt: skip
    talker = {"type": "llm", "llm": "main", "tools": list(tools)}
    return document({"talker": talker, "echo": function("echo")}, {"main": scripted(*turns)}, tools)


@pytest.mark.sampled()
@pytest.mark.timeout(300)
def test_fifty_apps_at_once_in_one_worker(transactional_db: None, settings: Any) -> None:
    settings.HECTOR_FUNCTION_ALLOW, settings.HECTOR_HTTP_ALLOW = ["tests.support"], ["127.0.0.1"]
    handler = logging.StreamHandler(written := io.StringIO())
    handler.setFormatter(logs.formatter("json"))
    names = [f"many-{number:03}" for number in range(APPS)]
    with LocalServer(echo) as server:
        for number, name in enumerate(names):
            app = lifecycle.create(name, by="tests")
            secrets.put(app, "NAME", f"secret-{number:03}")
            apply(app, made_for(number, server.url), by="tests")
        for turn in range(TASKS):  # of all Apps in turn, so that they run side by side
            for number, name in enumerate(names):
                with in_app(name) as app:
                    submit(app, "talker", f"{marker(number)}{turn}", session="s")
                    submit(app, "echo", {"text": f"{marker(number)}{turn}"})
        logging.getLogger().addHandler(handler)
        try:
            with working(slots=64):
                for name in names:
                    with in_app(name):
                        wait_for(_all_ended, seconds=90, what=f"the tasks of {name} have ended")
        finally:
            logging.getLogger().removeHandler(handler)
        for number, name in enumerate(names):
            with in_app(name):
                _has_only_its_own(number)
        for request in server.requests:
            assert request.headers["x-app"] == f"{request.path[1:]}secret-{request.path[8:11]}"
    for line in map(json.loads, written.getvalue().splitlines()):
        if mentioned := set(MARKER.findall(json.dumps(line))):
            assert mentioned == {marker(int(line["app"].removeprefix("many-")))}, line


def _all_ended() -> bool:
    return not Task.objects.exclude(status__in=FINAL).exists()


def _has_only_its_own(number: int) -> None:
    mine = marker(number)
    tasks = list(Task.objects.all())
    assert len(tasks) == 2 * TASKS and {task.status for task in tasks} == {TaskStatus.COMPLETED}
    assert all(mine in json.dumps(task.output) for task in tasks)
    results = [json.dumps(point.content) for point in Checkpoint.objects.filter(kind="tool_result")]
    assert len(results) == 5 * TASKS
    everything = results + [json.dumps(payload) for payload in Event.objects.values_list("payload", flat=True)]
    everything += [json.dumps(point.content) for point in Checkpoint.objects.all()]
    assert set(MARKER.findall("\n".join(everything))) == {mine}
    assert not re.search(r"secret-\d{3}", "\n".join(everything)), "what tools said of secrets is masked"
    state = store.values(Session.objects.get())
    assert state == {"mine": mine}
