"""Every command of the README and of docs/ runs, as its page says, against a real server with workers.

The `sh` blocks of a page are one script; `console` blocks are not run. A request that is answered with an error, or
not in time, fails its command. Skipped where there is no curl; CI installs it.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, Page
from tests.ops.processes import free_port, healthy
from tests.support.environment import SECRETS
from tests.support.installation import ROOT, Installation
from tests.support.starter import Starter
from tests.support.work import wait_for

PRINTED = {  # what a page promises that its commands print
    "README.md": ["have been shipped", "event: execution_completed"],
    "docs/first-task.md": ["resumed_from", "Six times seven is 42."],
    "docs/approvals.md": ["tool_call refund (risk: high)", "Pay this back?", "refunded 200 for A-2"],
    "docs/api.md": ['"text":"Hello from acme"}', "event: execution_completed", "TICKETS_TOKEN"],
    "docs/apps.md": ["suspended", "The App toys is active", "The App toys-2 is here", "The App toys is deleted"],
    "docs/command-line.md": ["execution_completed", '"most_common"', "unknown_agent"],
    "docs/configuration.md": ["shop.yaml is valid", "Applied to shop as revision 1."],
    "docs/entry-points.md": ["anna asks: Where is my order?", "paused"],
    "docs/durability.md": ["Nothing is wrong."],
    "docs/events.md": ['"data":{"order":7}', "Pack order 7"],
    "docs/limits-and-budgets.md": ["100 tasks per 1m: 0 used, until", '"of":"token","resource":"tasks"'],
    "docs/limits.md": ["The installation runs 40 at a time"],
    "docs/notifications.md": ["test http://127.0.0.1:", "execution_completed http://127.0.0.1:"],
    "docs/operating.md": ['"database": "connected"'],
    "docs/python.md": [
        "execution_completed",
        "unknown_agent there is no agent 'nobody'",
        "{'words': 2",
        "Hello, Mia!",
        "Hello, Noah, good morning!",
        "completed: greeter",
        "execution_resumed",
    ],
    "docs/sessions.md": ["customer-17", '"part_kind":"tool-return"', '"results":[]'],
    "docs/webhooks.md": ["started", '"verdict":"started"', '"repeats":1'],
    "docs/timers.md": ["00Z", "Holidays", '"timers":2'],
    "docs/tools.md": ["$HOME; rm -rf /\\n", "which Apps may not reach"],
}
RECEIVER = "9009"  # the port of a page's own server
BEGIN_WITH = ["README.md", "docs/first-task.md"]  # which `make test` runs the commands of
WITH_COMMANDS = [page for page in PAGES if page.blocks("sh")]


@pytest.fixture
def port(installation: Installation, starter: Starter) -> Iterator[int]:
    """A running server with the demo."""
    if shutil.which("curl") is None:
        if os.environ.get("CI"):
            pytest.fail("there is no curl")
        pytest.skip("there is no curl")
    (installation.home / "secret").write_text(SECRETS["HECTOR_AUTH_SECRET"])
    installation.env["HECTOR_HTTP_ALLOW"] = "localhost"
    chosen, log = free_port(), installation.home / "serve.log"
    serving = installation.fork(starter, "serve", "--port", str(chosen), "--queue-workers", "2", log=log)
    wait_for(lambda: healthy(chosen) or serving.poll() is not None, seconds=30, what="hector serve is healthy")
    assert serving.poll() is None, log.read_text()
    yield chosen
    serving.send_signal(signal.SIGTERM)
    serving.wait(40)


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "pages",
    [
        pytest.param(
            [page for page in WITH_COMMANDS if page.name in BEGIN_WITH], marks=pytest.mark.sampled("sqlite"), id="first"
        ),
        pytest.param(
            [page for page in WITH_COMMANDS if page.name not in BEGIN_WITH], marks=pytest.mark.sampled(), id="others"
        ),
    ],
)
def test_every_command_runs(installation: Installation, port: int, tmp_path: Path, pages: list[Page]) -> None:
    def check(page: Page) -> str:
        return fault_of(page, installation, port, tmp_path)

    # All at once, although one of them kills a worker: what the others have running is to survive that.
    with ThreadPoolExecutor(len(pages)) as pool:
        faults = list(filter(None, pool.map(check, pages)))
    assert not faults, "\n\n".join(faults)


def test_every_page_that_promises_output_has_commands() -> None:
    assert set(PRINTED) == {page.name for page in WITH_COMMANDS}


def fault_of(page: Page, installation: Installation, port: int, tmp_path: Path) -> str:
    """What went wrong with the page's commands; empty if nothing did."""
    directory = tmp_path / page.name.replace("/", "-")
    prepare(directory, page, installation)
    script = "".join(f"echo '--- {block.place}'\n{block.text}" for block in page.blocks("sh"))
    script = script.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    script = f"trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n{script}"  # what the page has left running
    done = subprocess.run(
        ["sh", "-eu", "-c", script],
        cwd=directory,
        env=installation.env
        | {"CURL_HOME": str(directory), "PATH": f"{directory}/.venv/bin:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    if done.returncode != 0:
        return f"{page.name} ended with {done.returncode}:\n{done.stdout[-3000:]}"
    missing = [text for text in PRINTED[page.name] if text not in done.stdout]
    return f"{page.name} did not print {missing}:\n{done.stdout[-6000:]}" if missing else ""


def prepare(directory: Path, page: Page, installation: Installation) -> None:
    """A directory like that of somebody who reads the page: an environment, state, and the files of the page."""
    programs = directory / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, arguments in (("hector", f'"{ROOT / "manage.py"}"'), ("python3", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        (programs / name).chmod(0o755)
    (programs / "activate").write_text("")
    (directory / ".hector").symlink_to(installation.home)
    (directory / ".curlrc").write_text("fail-with-body\nmax-time = 60\n")
    receiver = str(free_port())
    for block in page.blocks("yaml", "python"):
        if block.file:
            (directory / block.file).write_text(block.text.replace(RECEIVER, receiver))
