"""A short soak: random kills under load. The long one is `python -m bench soak`."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.installation import ROOT, Installation

SECONDS, SEED, KILLS = 60, 20, 8  # what is hit when depends on the seed alone; the kills take some 7 seconds


@pytest.mark.sampled()
def test_random_kills_under_load_lose_nothing_and_repeat_nothing(installation: Installation) -> None:
    log = installation.home / "processes.log"
    # The worker processes must find `bench`, from wherever they are started.
    bench = {"PYTHONPATH": str(ROOT), "HECTOR_FUNCTION_ALLOW": "bench", "HECTOR_BENCH_LOG": str(log)}
    environment = installation.env | bench
    command = [sys.executable, "-m", "bench.child", "soak", str(SECONDS), str(SEED), str(KILLS)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr + (log.read_text()[-6000:] if log.exists() else "")
    report = json.loads(done.stdout.splitlines()[-1])
    assert (report["lost"], report["silent_double_runs"], report["complaints"]) == ([], [], [])
    assert sum(report["kills"].values()) == KILLS and report["kills"]["kill -9"] > 0
    assert report["crashed_attempts"] > 0 and report["completed"] > 0
