"""What every request gets: an id, a log line, a limit on its body, errors without a stack trace, a page's policy."""

from __future__ import annotations

import http.client
import json
import logging
import socket
from collections.abc import Callable, Iterator

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from hector_site import drain, urls
from tests.ops.conftest import Running
from tests.ops.processes import get
from tests.support import settings


@pytest.fixture
def access_log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger="apps.ops.middleware")
    return caplog


@pytest.fixture
def draining(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(drain, "_draining", False)
    drain.begin()
    yield


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the password is hunter22")


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<p>hello</p>")


# The addresses of the product, and two that behave as some view may.
urlpatterns = [path("test/broken", broken), path("admin/test/page", page), path("test/page", page), *urls.urlpatterns]
handler400, handler403, handler404, handler500 = urls.handler400, urls.handler403, urls.handler404, urls.handler500


@pytest.fixture
def client() -> Client:
    return Client(raise_request_exception=False)


def test_a_sane_request_id_is_kept(client: Client) -> None:
    assert client.get("/health/live", headers={"X-Request-ID": "abc-1.2_3"})["X-Request-ID"] == "abc-1.2_3"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é", 'x"y', "a\tb"])
def test_any_other_request_id_is_replaced(client: Client, given: str) -> None:
    made = client.get("/health/live", headers={"X-Request-ID": given})["X-Request-ID"]
    assert made != given
    assert len(made) == 32


def test_each_request_is_one_log_line_with_its_id(client: Client, access_log: pytest.LogCaptureFixture) -> None:
    client.get("/nothing?token=hunter22", headers={"X-Request-ID": "abc"})
    (record,) = [record for record in access_log.records if record.name == "apps.ops.middleware"]
    assert isinstance(record.msg, dict)
    line = {name: record.msg[name] for name in ("event", "method", "path", "status", "request_id")}
    assert line == {"event": "request", "method": "GET", "path": "/nothing", "status": 404, "request_id": "abc"}
    assert record.msg["ms"] >= 0


def test_an_unknown_address_is_a_problem(client: Client) -> None:
    answer = client.get("/nothing")
    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["title"] == "Not Found"


def test_a_browser_gets_a_page_from_the_console(client: Client) -> None:
    answer = client.get("/approvals/nothing", headers={"Accept": "text/html,*/*"})
    assert answer.status_code == 404
    assert answer["Content-Type"].startswith("text/html")


@pytest.mark.urls(__name__)
def test_a_fault_of_ours_shows_nothing_of_it(client: Client) -> None:
    logging.getLogger("django.request").setLevel(logging.CRITICAL)
    try:
        answer = client.get("/test/broken")
    finally:
        logging.getLogger("django.request").setLevel(logging.ERROR)
    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert "hunter22" not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()
    assert answer["X-Request-ID"]


def test_a_body_over_the_limit_is_refused_unread(client: Client) -> None:
    answer = client.post("/tasks", b"x" * (settings.HECTOR_MAX_BODY + 1), content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (413, "application/problem+json")


def test_a_body_of_unknown_length_is_refused(client: Client) -> None:
    assert client.post("/tasks", headers={"Transfer-Encoding": "chunked"}).status_code == 411


@pytest.mark.usefixtures("draining")
def test_while_draining_new_requests_are_sent_elsewhere(client: Client) -> None:
    answer = client.get("/nothing")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert client.get("/health/live").status_code == 200
    ready = client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "draining")


@pytest.mark.urls(__name__)
def test_pages_run_no_inline_script_and_load_nothing_from_elsewhere(client: Client) -> None:
    policy = client.get("/test/page")["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "script-src" not in policy
    console = client.get("/admin/test/page")["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in console
    assert "frame-ancestors 'none'" in console
    assert "Content-Security-Policy" not in client.get("/health/live")


def test_health_is_only_read(client: Client) -> None:
    answer = client.post("/health/live")
    assert (answer.status_code, answer["Allow"]) == (405, "GET, HEAD")


def sent(port: int, raw: bytes) -> http.client.HTTPResponse:
    """The answer to these bytes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(raw)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer


def test_what_cannot_be_read_as_a_request_is_refused_as_a_problem(start: Callable[..., Running]) -> None:
    web = start("web", HECTOR_WEB_PROCESSES="1")
    for status, raw in {
        400: b"nonsense\r\n\r\n",
        414: b"GET /" + b"x" * 5000 + b" HTTP/1.1\r\n\r\n",
        431: b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n",
        501: b"POST /tasks HTTP/1.1\r\nTransfer-Encoding: sausage\r\n\r\n",
    }.items():
        answer = sent(web.port, raw)
        body = json.load(answer)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
        assert body["status"] == status
        assert body["detail"].startswith("This is no request that can be read: ")
        assert answer.headers["X-Request-ID"] in web.logged()
    assert get(web.port)[0] == 200
