"""Starts Hector's processes in a few hundredths of a second: it has imported what is slow to import, and forks.

A child is what `manage.py ARGUMENTS` is: it reads its own environment and settings, and nothing of Hector's or
Django's was set up before the fork. It dies with the process that made the starter.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
SLOW = ("django.core.management", "django.db.models", "psycopg", "pydantic_ai", "structlog", "jsonschema", "psutil")


class Starter:
    """The other end: what tests use."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("HECTOR_", "DJANGO_"))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.starter"],
            cwd=ROOT,
            env=environment | {"PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self, *arguments: str, env: dict[str, str], log: Path) -> int:
        """Runs `manage.py` with the arguments, as the leader of a process group; its pid."""
        assert self._process.stdin is not None and self._process.stdout is not None
        order = {"arguments": arguments, "env": env, "log": str(log)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def stop(self) -> None:
        self._process.communicate()


def main() -> None:
    for module in SLOW:
        __import__(module)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    for line in sys.stdin:
        order = json.loads(line)
        if (pid := os.fork()) == 0:
            _become(order)
        print(pid, flush=True)


def _become(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.environ.clear()
    os.environ |= order["env"]
    os.chdir(os.environ["HECTOR_HOME"])
    nothing, log = os.open(os.devnull, os.O_RDONLY), os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    sys.path.insert(0, str(ROOT))
    from hector_site.cli import main as hector

    code = 1
    try:
        code = hector(order["arguments"])
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
