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

import django

from bench.targets import FIGURES


def main(name: str, *, quick: bool) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that every process is stopped
    django.setup()
    logging.getLogger().setLevel(logging.WARNING)  # of this process; Hector's own log as always
    figure = next(figure for figure in FIGURES if figure.name == name)
    module, _, function = figure.measure.partition(":")
    measure: Callable[[bool], dict[str, float]] = getattr(importlib.import_module(module), function)
    print(json.dumps(measure(quick)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], quick="--quick" in sys.argv[2:])
