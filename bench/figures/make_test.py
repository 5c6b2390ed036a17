"""How long `make test` takes, with its virtual environment in place."""

from __future__ import annotations

import os
import subprocess
import time

from bench.harness import BenchError
from bench.installation import ROOT


def measure(quick: bool) -> dict[str, float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HECTOR_", "DJANGO_"))}
    begun = time.monotonic()
    done = subprocess.run(["make", "test"], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise BenchError(f"make test failed:\n{done.stdout.decode(errors='replace')[-4000:]}")
    return {"seconds": time.monotonic() - begun}
