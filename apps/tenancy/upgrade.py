"""Bringing many Apps up to date: several at once, with progress, and on from where it was if it is interrupted.

Each App is written down as soon as it is done. What goes wrong in one App keeps no other from being migrated. Whoever
serves the former version goes on with that meanwhile: a migration locks one App for as long as its own statements take.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import structlog

from apps.tenancy.connection import connection
from apps.tenancy.errors import AppsNotMigrated
from apps.tenancy.migrate import AppMigrations
from apps.tenancy.models import App

AT_ONCE = 4
TELL_EVERY = 5.0  # seconds
log = structlog.get_logger(__name__)


def bring_up_to_date(apps: Iterable[App], *, verbosity: int) -> None:
    """Raises AppsNotMigrated, once all others are done."""
    work = _Work(apps, verbosity)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            for thread in [pool.submit(work.run) for _ in range(min(AT_ONCE, work.total))]:
                thread.result()
        finally:
            work.left.clear()  # who is told to stop waits for the Apps that are under way, and for no others
    if work.failed:
        raise AppsNotMigrated(work.failed)


class _Work:
    """What the threads share."""

    def __init__(self, apps: Iterable[App], verbosity: int) -> None:
        self.left, self.failed = deque(apps), list[str]()
        self.total = len(self.left)
        self._verbosity, self._done, self._told_at = verbosity, 0, time.monotonic()
        self._migrations = AppMigrations()
        self._telling = threading.Lock()

    def run(self) -> None:
        try:
            while self.left:
                try:
                    app = self.left.popleft()
                except IndexError:
                    return  # another thread has taken the last one just now
                self._migrate(app)
                self._tell(app)
        finally:
            connection.close()

    def _migrate(self, app: App) -> None:
        try:
            self._migrations.apply(app.schema_name)
            App.objects.filter(pk=app.pk).update(migrations=self._migrations.digest)
        except Exception:  # whatever is wrong in this App, the others do not wait for it
            log.exception("app_not_migrated", app=app.name)
            self.failed.append(app.name)

    def _tell(self, app: App) -> None:
        with self._telling:
            self._done += 1
            if self._verbosity:
                print(f"{self._done} of {self.total} Apps: {app.name}")
            if time.monotonic() - self._told_at >= TELL_EVERY:
                self._told_at = time.monotonic()
                log.info("apps_migrating", done=self._done, total=self.total)
