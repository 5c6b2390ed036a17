"""A program with Hector in it is killed, and started again."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.runtime import programs
from tests.support.installation import ROOT, Installation
from tests.support.starter import Starter
from tests.support.work import wait_for


def program(installation: Installation, directory: Path, *accepted: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, programs.__file__, str(directory), *accepted],
        env=installation.env | {"PYTHONPATH": str(ROOT)},
        cwd=installation.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    installation.processes.append(process)
    return process


@pytest.mark.sampled()
def test_what_a_killed_program_has_accepted_ends_when_it_runs_again(
    installation: Installation, starter: Starter, tmp_path: Path, on_postgresql: bool
) -> None:
    if on_postgresql:
        pytest.skip("functions of a program itself are for SQLite (test_runtime tells)")
    first = program(installation, tmp_path)
    assert first.stdout is not None and first.stderr is not None
    accepted = [first.stdout.readline().strip() for _ in range(3)]
    assert all(accepted), first.stderr.read()
    wait_for(lambda: (tmp_path / "ran").exists(), what="a task runs")

    # Nobody else may run its work meanwhile, for nobody else has its functions.
    log = tmp_path / "worker.log"
    assert installation.fork(starter, "worker", log=log).wait(30) == 2
    assert f"the process {first.pid} runs work of HECTOR_HOME" in log.read_text()
    second = program(installation, tmp_path, *accepted)
    assert "cannot import this program's functions" in second.communicate(timeout=30)[1]
    assert second.returncode == 1

    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=30)
    (tmp_path / "may_end").touch()
    again = program(installation, tmp_path, *accepted)
    told, faults = again.communicate(timeout=60)
    assert told.split() == ["completed"] * 3, faults
    pids = (tmp_path / "ran").read_text().split()
    assert str(again.pid) in pids and again.returncode == 0
