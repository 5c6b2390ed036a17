"""`/health` tells the truth: a real web server, whose database really goes away, which really stops."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable

from hector_site import VERSION
from tests.ops.conftest import Running
from tests.ops.processes import database_away, family, get
from tests.support.work import wait_for


def test_health_follows_the_database_there_and_back(start: Callable[..., Running]) -> None:
    web = start("web", HECTOR_WEB_PROCESSES="1")
    port = web.port
    assert get(port) == (200, {"status": "ok", "version": VERSION, "database": "connected"})
    assert get(port, "/health/ready") == (200, {"status": "ok", "version": VERSION})
    with database_away(web.installation):
        gone = {"status": "unavailable", "version": VERSION, "database": "disconnected"}
        assert get(port) == (503, gone)
        assert get(port, "/health/ready") == (503, {"status": "unavailable", "version": VERSION})
        assert get(port, "/health/live") == (200, {"status": "ok", "version": VERSION})
    wait_for(lambda: get(port)[0] == 200, what="healthy again")
    assert get(port, "/health/ready")[0] == 200


def test_a_stopping_web_server_finishes_what_it_began_and_says_that_it_drains(start: Callable[..., Running]) -> None:
    web = start("web", HECTOR_WEB_PROCESSES="1")
    with socket.create_connection(("127.0.0.1", web.port)) as begun:
        begun.sendall(b"GET /health/live HTTP/1.1\r\n")
        web.process.send_signal(signal.SIGTERM)
        wait_for(lambda: get(web.port)[1]["status"] == "draining", what="draining")
        assert get(web.port) == (503, {"status": "draining", "version": VERSION, "database": "connected"})
        assert get(web.port, "/health/ready")[0] == 503
        assert get(web.port, "/tasks")[0] == 503
        assert web.process.poll() is None
        begun.sendall(b"Host: x\r\nConnection: close\r\n\r\n")
        assert begun.recv(100).startswith(b"HTTP/1.1 200 OK")
    assert web.process.wait(20) == 0


def test_a_killed_web_process_is_replaced(start: Callable[..., Running]) -> None:
    web = start("web", HECTOR_WEB_PROCESSES="1")
    (before,) = family(web.process.pid)
    os.kill(before.pid, signal.SIGKILL)
    wait_for(lambda: {found.pid for found in family(web.process.pid)} - {before.pid}, what="another process")
    assert get(web.port)[0] == 200
