"""Makes one measurement, or soaks, in the installation that the environment names.

`python -m bench.child FIGURE [--quick]` or `python -m bench.child soak SECONDS SEED KILLS`. The last line of its output
is a JSON object: the metrics, or what became of the tasks.
"""

from __future__ import annotations

import importlib
import json
import logging
import signal
import sys
from typing import NoReturn

import django

from bench.targets import FIGURES

STOPS = (signal.SIGTERM, signal.SIGINT)


def _stop(*_: object) -> NoReturn:
    """Unwinds, so that every process is stopped; once, for a second signal would cut that short."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(143)


def main(name: str, *arguments: str) -> None:
    for number in STOPS:
        signal.signal(number, _stop)
    django.setup()
    logging.getLogger().setLevel(logging.WARNING)  # of this process; Hector's own log as always
    if name == "soak":
        seconds, seed, kills = arguments
        found = importlib.import_module("bench.soaking").soak(float(seconds), int(seed), int(kills))
    else:
        module, _, function = next(figure for figure in FIGURES if figure.name == name).measure.partition(":")
        found = getattr(importlib.import_module(module), function)("--quick" in arguments)
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
