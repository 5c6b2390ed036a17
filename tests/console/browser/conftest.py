"""A browser and an installation for it to visit. Skipped where there is no Chromium; CI installs one."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, StorageState, sync_playwright

from tests.console.browser import site
from tests.console.browser.visit import Visit
from tests.ops.processes import free_port, healthy
from tests.support.installation import Installation
from tests.support.work import wait_for

ARGUMENTS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-dev-shm-usage",
]


def chromium() -> str | None:
    """A browser of this machine, or the one that Playwright has installed."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium here: `playwright install chromium` brings one")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


class Served:
    """A running `hector serve`, in processes of its own: nothing of Django runs beside the browser's event loop."""

    def __init__(self, installation: Installation) -> None:
        self._installation, self._port = installation, free_port()
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        home = self._installation.home
        options = ["--port", str(self._port), "--queue-workers", "1", "--log-file", str(home / "log")]
        self._process = self._installation.start(
            "serve", *options, env={"HECTOR_WEB_PROCESSES": "1"}, stdout=subprocess.DEVNULL
        )
        wait_for(lambda: healthy(self._port), seconds=40, what="the server is healthy")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(40) == 0


@pytest.fixture(scope="package")
def served(browser: Browser, tmp_path_factory: pytest.TempPathFactory, django_db_setup: None) -> Iterator[Served]:
    installation = Installation.create(tmp_path_factory.mktemp("console") / "home", 9000)
    try:
        installation.python(site.SETUP)
        (installation.home / "hector.yaml").write_text(json.dumps(site.DOCUMENT))
        made = Served(installation)
        made.start()
        yield made
    finally:
        installation.remove()


@pytest.fixture(scope="package")
def address(served: Served) -> str:
    return served.address


class Begin(Protocol):
    def __call__(self, name: str = "", **options: Any) -> AbstractContextManager[Visit]: ...


@pytest.fixture(scope="package")
def visit(browser: Browser, address: str, pytestconfig: pytest.Config) -> Begin:
    """Begins somebody's visit, in a session that the visits of the same person share: a login takes its time.

    Without a name nobody has logged in yet.
    """
    known: dict[str, StorageState] = {}

    @contextmanager
    def begin(name: str = "", **options: Any) -> Iterator[Visit]:
        context = browser.new_context(reduced_motion="reduce", storage_state=known.get(name), **options)
        visiting = Visit(context, address, whole=pytestconfig.getoption("whole"))
        if name and name not in known:
            visiting.log_in(name)
            known[name] = context.storage_state()
        yield visiting
        context.close()
        assert visiting.complaints == []

    return begin


@pytest.fixture
def operator(visit: Begin) -> Iterator[Visit]:
    """For tests that change nothing that the session keeps."""
    with visit("olga") as visiting:
        yield visiting


@pytest.fixture
def newcomer(visit: Begin) -> Iterator[Visit]:
    """An operator with a session of their own, which keeps what they choose."""
    with visit() as visiting:
        visiting.log_in("olga")
        yield visiting
