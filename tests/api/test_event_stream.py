"""A task's events as a stream, from a real web server with a real worker beside it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from apps.tasks.api import views
from apps.tasks.api.stream import EventStream
from apps.tasks.api.waiting import Share
from apps.tasks.models import Task
from apps.tenancy.context import in_app
from apps.tenancy.http.authentication import OPERATOR
from hector_site import drain
from tests.api.conftest import Person
from tests.ops.processes import free_port, healthy
from tests.support import environment
from tests.support.installation import Installation
from tests.support.starter import Starter
from tests.support.work import wait_for

DOCUMENT = """
version: "2"
llms:
  slow: {provider: scripted, script: [{delay: 300ms, text: One.}]}
agents:
  slow: {llm: slow}
"""


class Stream:
    """Reads `text/event-stream` off a socket, event by event."""

    def __init__(self, port: int, task: str, **headers: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        self.connection.request("GET", f"/tasks/{task}/events", headers=_headers(**headers))
        self.answer = self.connection.getresponse()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The events until the server closes; comments and `retry` are passed over."""
        fields: dict[str, str] = {}
        for line in self.answer:
            text = line.decode().rstrip("\n")
            if text:
                name, _, value = text.partition(": ")
                fields[name] = value
            elif "data" in fields:
                event = json.loads(fields["data"])
                assert (fields["id"], fields["event"]) == (str(event["seq"]), event["type"])
                yield event
                fields = {}

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def _headers(**headers: str) -> dict[str, str]:
    credentials = {"Authorization": f"Bearer {environment.SECRETS['HECTOR_AUTH_SECRET']}"}
    return credentials | {"Accept": "text/event-stream"} | {k.replace("_", "-"): v for k, v in headers.items()}


def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        headers = _headers(Accept="application/json", Content_Type="application/json")
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")


def opened(port: int, task: str) -> Stream | None:
    stream = Stream(port, task)
    if stream.answer.status == 200:
        return stream
    stream.close()
    return None


@pytest.fixture(scope="module")
def port(shared_installation: Installation, starter: Starter) -> int:
    """Of `hector serve` with one worker and room for one stream; its default App has the agent `slow`."""
    number = free_port()
    (shared_installation.home / "hector.yaml").write_text(DOCUMENT)
    one = {"HECTOR_WEB_STREAMS": "1", "HECTOR_WEB_PROCESSES": "1", "HECTOR_QUEUE_WORKERS": "1"}
    log = shared_installation.home / "serve.log"
    shared_installation.fork(starter, "serve", "--port", str(number), log=log, **one)
    wait_for(lambda: healthy(number), seconds=40, what="hector serve is healthy")
    return number


@pytest.mark.xdist_group("stream")
def test_a_stream_follows_a_task_to_its_end_and_resumes_where_it_broke(port: int) -> None:
    _, task = call(port, "POST", "/tasks", {"agent": "slow", "input": "hello"})
    with closing(Stream(port, task["id"])) as stream:
        assert stream.answer.status == 200
        assert stream.answer.getheader("Content-Type") == "text/event-stream"
        live = list(stream)
    assert [event["seq"] for event in live] == list(range(1, len(live) + 1))
    assert live[-1]["type"] == "execution_completed"
    assert live == call(port, "GET", f"/tasks/{task['id']}/events")[1]["results"]

    broken = live[2]["seq"]
    with closing(Stream(port, task["id"], Last_Event_ID=str(broken))) as stream:
        assert list(stream) == live[broken:]
    with closing(Stream(port, task["id"], Last_Event_ID=str(live[-1]["seq"]))) as stream:
        assert stream.answer.status == 204, "which tells a browser not to come back"


@pytest.mark.xdist_group("stream")
def test_a_reader_that_goes_away_frees_its_place(port: int) -> None:
    call(port, "POST", "/admin/queue/pause", {"reason": "the task stays pending"})
    _, task = call(port, "POST", "/tasks", {"agent": "slow", "input": "hello"})
    with closing(Stream(port, task["id"])) as stream:
        assert next(iter(stream))["seq"] == 1
        with closing(Stream(port, task["id"])) as another:
            assert another.answer.status == 503
    stream = wait_for(lambda: opened(port, task["id"]), seconds=5, what="the place is free")
    call(port, "POST", f"/tasks/{task['id']}/cancel")
    assert list(stream)[-1]["type"] == "execution_cancelled"
    stream.close()
    call(port, "POST", "/admin/queue/resume")


# --- in this process --------------------------------------------------------------------------------------------------


def open_stream(person: Person, task: dict[str, Any], **headers: str) -> Any:
    return person.get(f"/tasks/{task['id']}/events", Accept="text/event-stream", **headers)


def test_more_streams_than_their_share_of_threads_are_told_to_come_back(
    viewer: Person, operator: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = Share(1)
    monkeypatch.setattr(views, "long_answers", lambda: share)
    task = operator.submits()
    first = open_stream(viewer, task)
    assert first.status_code == 200
    second = open_stream(viewer, task)
    assert (second.status_code, second["Retry-After"]) == (503, "5")
    first.close()  # though nothing was ever read from it
    assert open_stream(viewer, task).status_code == 200


def test_a_quiet_stream_shows_that_it_is_alive(operator: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.tasks.api.stream.KEEP_ALIVE", 0.02)
    task = operator.submits()
    with in_app("acme") as app:
        pass
    stream = EventStream(app, OPERATOR, Task(id=task["id"]).id, 0, _taken())
    parts = [next(iter(stream)) for _ in range(4)]
    assert (
        parts[0] == "id: 0\nretry: 2000\n\n"
        and parts[1].startswith("id: 1\n")
        and parts[2] == parts[3] == ": still here\n\n"
    )
    stream.close()


def test_a_stream_ends_when_the_server_stops(operator: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    task = operator.submits()
    with in_app("acme") as app:
        pass
    stream = EventStream(app, OPERATOR, Task(id=task["id"]).id, 0, _taken())
    read = [next(iter(stream)), next(iter(stream))]
    monkeypatch.setattr(drain, "_draining", True)
    assert len(read) == 2 and list(stream) == []
    stream.close()


def test_a_stream_ends_when_its_task_is_deleted(operator: Person) -> None:
    task = operator.submits()
    with in_app("acme") as app:
        stream = EventStream(app, OPERATOR, Task(id=task["id"]).id, 0, _taken())
        assert len([next(iter(stream)), next(iter(stream))]) == 2
        Task.objects.all().delete()
    assert list(stream) == []
    stream.close()


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30])
def test_a_last_event_id_that_is_none_is_refused(operator: Person, last: str) -> None:
    assert open_stream(operator, operator.submits(), Last_Event_ID=last).status_code == 400


def _taken() -> Share:
    share = Share(1)
    assert share.take()
    return share
