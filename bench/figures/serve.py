"""How long `hector serve` takes until `/health` says ok: in an empty directory, and started there again."""

from __future__ import annotations

import time

from bench.harness import free_port, healthy, process, until


def measure(quick: bool) -> dict[str, float]:
    return {"empty": _start(), "existing": _start()}


def _start() -> float:
    port = free_port()
    begun = time.monotonic()
    with process("serve", "--port", str(port), DJANGO_SETTINGS_MODULE="hector_site.settings"):
        until(lambda: healthy(port), "hector serve is healthy", patience=60)
        return time.monotonic() - begun
