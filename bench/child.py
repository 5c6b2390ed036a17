"""Makes one measurement, in the installation that the environment names: `python -m bench.child FIGURE [--quick]`.

The last line of its output is a JSON object: the metrics.
"""

from __future__ import annotations

import importlib
import json
import logging
import signal
import sys
from collections.abc import Callable
from typing import NoReturn

import django

from bench.targets import FIGURES

STOPS = (signal.SIGTERM, signal.SIGINT)


def _stop(*_: object) -> NoReturn:
    """Unwinds, so that every process is stopped; once, for a second signal would cut that short."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)
    sys.exit(143)


def main(name: str, *, quick: bool) -> None:
    for number in STOPS:
        signal.signal(number, _stop)
    django.setup()
    logging.getLogger().setLevel(logging.WARNING)  # of this process; Hector's own log as always
    figure = next(figure for figure in FIGURES if figure.name == name)
    module, _, function = figure.measure.partition(":")
    measure: Callable[[bool], dict[str, float]] = getattr(importlib.import_module(module), function)
    print(json.dumps(measure(quick)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], quick="--quick" in sys.argv[2:])
