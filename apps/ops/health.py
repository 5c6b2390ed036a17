"""`/health`, `/health/live` and `/health/ready`.

The database is asked in a thread of its own, so a server that does not answer costs a probe two seconds and never
more than one thread, however many ask.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as ProbeTimeout

from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse

from apps.tenancy.migrate import Plan
from hector_site import VERSION, drain
from hector_site.problems import problem

PATIENCE = 2.0  # seconds
View = Callable[[HttpRequest], HttpResponse]


class Probe:
    """One look at the database, shared by everybody who asks while it lasts."""

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self._lock = threading.Lock()
        self._running: Future[bool] | None = None
        self._thread: ThreadPoolExecutor | None = None  # made on first use: after gunicorn's fork

    def ask(self) -> bool:
        with self._lock:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="health")
            if self._running is None or self._running.done():
                self._running = self._thread.submit(self._answer)
            running = self._running
        try:
            return running.result(timeout=PATIENCE)
        except ProbeTimeout:
            return False

    def _answer(self) -> bool:
        try:
            return self._look()
        except (DatabaseError, OSError):
            return False
        finally:
            connection.close()


def _connected() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM django_migrations LIMIT 1")
        return cursor.fetchone() is not None


_migrated = False


def _ready() -> bool:
    """Connected, and the shared schema has every migration that this code knows (once true, it stays so)."""
    global _migrated
    if not _migrated:
        _migrated = Plan().shared_is_applied()
        return _migrated
    return _connected()


database = Probe(_connected)
readiness = Probe(_ready)


def _reading(view: View) -> View:
    """Only GET and HEAD, and never from a cache."""

    def answer(request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return problem(405, headers={"Allow": "GET, HEAD"})
        response = view(request)
        response.headers["Cache-Control"] = "no-store"
        return response

    return answer


@_reading
def health(request: HttpRequest) -> HttpResponse:
    connected = database.ask()
    status = "draining" if drain.draining() else "ok" if connected else "unavailable"
    body = {"status": status, "version": VERSION, "database": "connected" if connected else "disconnected"}
    return JsonResponse(body, status=200 if status == "ok" else 503)


@_reading
def live(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok", "version": VERSION})


@_reading
def ready(request: HttpRequest) -> HttpResponse:
    if drain.draining():
        return JsonResponse({"status": "draining", "version": VERSION}, status=503)
    if readiness.ask():
        return JsonResponse({"status": "ok", "version": VERSION})
    return JsonResponse({"status": "unavailable", "version": VERSION}, status=503)
