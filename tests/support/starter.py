"""Starts Hector's processes in a few hundredths of a second: it has imported what is slow to import, and forks.

A child is what `manage.py ARGUMENTS` is, and does what that does up to its exit code: it reads its own environment and
settings, and nothing of Hector's or Django's was set up before the fork.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent.parent.parent
SLOW = (
    *("django.core.management", "django.db.models", "psycopg", "pydantic_ai", "structlog", "jsonschema", "psutil"),
    *("cryptography.x509", "jinja2", "jwt", "prometheus_client", "requests", "yaml"),
)


class Forked:
    """A process that the starter has forked: as much of `subprocess.Popen` as tests need."""

    def __init__(self, starter: Starter, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._starter = starter

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._starter.ask(poll=self.pid)
        return self.returncode

    def wait(self, timeout: float) -> int:
        deadline = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.005)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Starter:
    """The other end: what tests use."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HECTOR_", "DJANGO_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.starter"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(
        self, arguments: Sequence[str], *, env: dict[str, str], cwd: Path, stdout: Path | None, stderr: Path | None
    ) -> Forked:
        """Runs `manage.py` with the arguments, as the leader of a process group. No file: where the tests' own goes."""
        files = [None if path is None else str(path) for path in (stdout, stderr)]
        return Forked(self, self.ask(arguments=list(arguments), env=env, cwd=str(cwd), files=files))

    def ask(self, **order: Any) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.communicate()


def main() -> int:
    for module in SLOW:
        __import__(module)
    gc.freeze()  # nobody looks for garbage in what all share
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order:
            answer = _poll(order["poll"])
        elif (answer := os.fork()) == 0:
            _end(_become(order))
        print(json.dumps(answer), flush=True)
    return 0


def _poll(pid: int) -> int | None:
    """The exit code of a child; None while it runs."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become(order: dict[str, Any]) -> int:
    os.setsid()
    os.environ.clear()
    os.environ |= order["env"]
    os.chdir(order["cwd"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for target, path in zip((1, 2), order["files"], strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if path else 2, target)
    if os.environ.get("PYTHONWARNINGS") == "ignore":
        warnings.simplefilter("ignore")
    sys.path.insert(0, str(ROOT))
    from hector_site.cli import main as hector

    return hector(order["arguments"])


def _end(code: int) -> NoReturn:
    """Ends as Python does, but takes nothing apart of what was imported, which would cost half a second."""
    threading._shutdown()  # waits for those that are no daemons
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
