"""The web server: gunicorn with threads (gthread), and how it stops.

One request holds one thread. On SIGTERM a worker process refuses new requests (`hector_site.drain`) but still answers
them, `/health` included, until the ones in flight are done; gunicorn's master kills what outlives the grace time.
SIGUSR1 begins the same refusal without the end: `hector serve` sends it first, so that `/health` says "draining" for
as long as the workers drain.

What is no HTTP request never reaches Django; the worker process itself answers it, with a problem as everything else.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from types import FrameType
from typing import Any, Final

import structlog
from django.conf import settings
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from hector_site import drain
from hector_site.env import BadSetting
from hector_site.problems import problem

log = structlog.get_logger(__name__)
BACKLOG = 1024
_STATUSES: Final[Mapping[type[Exception], HTTPStatus]] = {  # of errors whose kind does not tell
    errors.LimitRequestLine: HTTPStatus.REQUEST_URI_TOO_LONG,
    errors.LimitRequestHeaders: HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    errors.ExpectationFailed: HTTPStatus.EXPECTATION_FAILED,
    errors.UnsupportedTransferCoding: HTTPStatus.NOT_IMPLEMENTED,
    errors.InvalidResponseHeader: HTTPStatus.INTERNAL_SERVER_ERROR,  # gunicorn files these two with the others
    errors.InvalidResponseHeaderName: HTTPStatus.INTERNAL_SERVER_ERROR,
}


def listen(host: str, port: int) -> socket.socket:
    """The listening socket. Raises BadSetting where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise BadSetting(f"cannot listen on {host} port {port}: {reason}; choose with --host and --port") from None


def run(listener: int) -> int:
    """Serves the socket of that file descriptor until SIGTERM. The exit code."""
    try:
        WebServer(listener).run()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0


class WebServer(BaseApplication):  # type: ignore[misc]  # gunicorn has no types, here and below
    def __init__(self, listener: int) -> None:
        self.listener = listener
        super().__init__()

    def load_config(self) -> None:
        for name, value in {
            "bind": f"fd://{self.listener}",
            "workers": settings.HECTOR_WEB_PROCESSES,
            "worker_class": WebWorker,
            "threads": settings.HECTOR_WEB_THREADS,
            "timeout": 60,  # seconds a worker's main loop may stand still; requests may take longer
            "graceful_timeout": max(1, round(settings.HECTOR_GRACE)),
            "keepalive": 15,
            "preload_app": True,  # imported once, shared by the worker processes
            "logger_class": QuietLogger,
            "control_socket_disable": True,
            "proc_name": "hector-web",
        }.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        """The WSGI application, with every view imported and nothing open that must not cross the fork."""
        from django.core.wsgi import get_wsgi_application
        from django.db import connections
        from django.db.backends.postgresql.base import DatabaseWrapper as PostgreSQLWrapper
        from django.urls import get_resolver

        application = get_wsgi_application()
        _ = get_resolver().url_patterns
        for connection in connections.all(initialized_only=True):
            connection.close()
            if isinstance(connection, PostgreSQLWrapper):
                connection.close_pool()
        return application


class WebWorker(ThreadWorker):  # type: ignore[misc]
    leaving = False
    polled = False  # since it is leaving: what had connected before has been accepted

    def handle_usr1(self, sig: int, frame: FrameType | None) -> None:
        drain.begin()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        drain.begin()
        self.leaving = True
        self._wake()

    def notify(self) -> None:
        """Called in each turn of the loop: leaves once no request is in flight."""
        super().notify()
        if not self.leaving or not self.alive:
            return
        idle = self.nr_conns <= len(self.keepalived_conns) + len(self.pending_conns)
        if idle and self.polled:
            super().handle_exit(0, None)
        elif not self.polled:
            self.polled = True
            self._wake()

    def _wake(self) -> None:
        """The loop's next turn does not wait for something to happen."""
        self.method_queue.defer(lambda: None)

    def handle_error(self, request: Any, client: socket.socket, address: Any, error: Exception) -> None:
        """Answers what could not be read as a request; gunicorn itself would do so in HTML."""
        status, request_id = _status_of(error), uuid.uuid4().hex
        if status == HTTPStatus.INTERNAL_SERVER_ERROR:
            detail = "Something went wrong here. The log has it under this answer's X-Request-ID."
            log.error("request_broke", request_id=request_id, exc_info=error)
        else:
            detail = f"This is no request that can be read: {str(error)[:200]}"
            log.info("request_unreadable", request_id=request_id, status=status.value, reason=str(error))
        answer = problem(status, detail, headers={"X-Request-ID": request_id, "Connection": "close"})
        answer["Content-Length"] = str(len(answer.content))
        with suppress(OSError):  # the client has gone
            client.sendall(f"HTTP/1.1 {status} {status.phrase}\r\n".encode() + answer.serialize())


def _status_of(error: Exception) -> HTTPStatus:
    other = HTTPStatus.BAD_REQUEST if isinstance(error, errors.ParseException) else HTTPStatus.INTERNAL_SERVER_ERROR
    return _STATUSES.get(type(error), other)


class QuietLogger(Logger):  # type: ignore[misc]
    """gunicorn's log through ours; the access log is written by `apps.ops.middleware`."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self._access_log_enabled = False
        self.error_log.propagate = True
