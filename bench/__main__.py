"""`python -m bench [FIGURE …]`: measures, prints a table, and leaves every run in bench/results.

`python -m bench soak`: kills random processes under load (`bench.soak`).

Exit code 0 when everything could be measured, whether or not the targets are met; else 1.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench import soak
from bench.installation import ROOT, Server, end_of_log, in_child, installation, server
from bench.report import Measured, Report, conditions
from bench.targets import ENGINES, FIGURES, POSTGRESQL, Figure

TIMEOUT = 1800  # seconds for one run of one figure


def main() -> int:
    if sys.argv[1:2] == ["soak"]:
        return soak.main(sys.argv[2:])
    arguments = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that everything is stopped
    engines = ENGINES if arguments.engine == "both" else (arguments.engine,)
    plan = [(figure, engine) for figure in _chosen(arguments.names) for engine in engines if engine in figure.engines]
    settings = {"HECTOR_QUEUE_WORKERS": str(arguments.workers), "HECTOR_SLOTS": str(arguments.slots)}
    runs = 1 if arguments.quick else arguments.runs
    with _postgresql(any(engine == POSTGRESQL for _, engine in plan)) as postgresql:
        report = Report(conditions(postgresql, quick=arguments.quick, settings=settings))
        try:
            for figure, engine in plan:
                report.measured.append(measured := Measured(figure, engine))
                _measure(measured, runs, postgresql, settings, quick=arguments.quick)
        except KeyboardInterrupt:
            print("stopped", file=sys.stderr)
    print(f"\n{report.table()}\n\nEvery run: {report.write().relative_to(ROOT)}")
    complete = len(report.measured) == len(plan) and all(len(one.runs) == runs for one in report.measured)
    return 0 if complete else 1


def _parser() -> argparse.ArgumentParser:
    lines = [f"  {figure.name:<18}{figure.title}{' (only if named)' * figure.on_request}" for figure in FIGURES]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measures Hector on this machine.",
        epilog="figures:\n" + "\n".join(lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="FIGURE", help="what to measure (all but make-test)")
    parser.add_argument("--runs", type=int, default=3, help="runs of each figure; the median counts (3)")
    parser.add_argument("--engine", choices=[*ENGINES, "both"], default="both", help="the database (both)")
    parser.add_argument("--quick", action="store_true", help="one small run of each: shows that it works, no more")
    parser.add_argument("--workers", type=int, default=4, help="worker processes (4, as Hector's own default)")
    parser.add_argument("--slots", type=int, default=32, help="slots of each (32, as Hector's own default)")
    return parser


def _chosen(names: Sequence[str]) -> list[Figure]:
    unknown = set(names) - {figure.name for figure in FIGURES}
    if unknown:
        sys.exit(f"no such figure: {', '.join(sorted(unknown))} (see --help)")
    return [figure for figure in FIGURES if figure.name in names or (not names and not figure.on_request)]


@contextmanager
def _postgresql(wanted: bool) -> Iterator[Server | None]:
    with ExitStack() as stack:
        if not wanted:
            yield None
            return
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="hector-bench-pg-"))
        yield stack.enter_context(server(Path(directory) / "data"))


def _measure(
    measured: Measured, runs: int, postgresql: Server | None, settings: dict[str, str], *, quick: bool
) -> None:
    for number in range(1, runs + 1):
        print(f"{measured.figure.name} on {measured.engine}, run {number}: ", end="", file=sys.stderr, flush=True)
        with installation(measured.engine, postgresql, settings) as environment:
            try:
                options = ["--quick"] if quick else []
                metrics = in_child(environment, measured.figure.name, *options, timeout=TIMEOUT)
            except (subprocess.SubprocessError, ValueError) as error:
                measured.error = f"run {number}: {error}"
                print(f"failed: {error}\n{end_of_log(environment)}", file=sys.stderr)
                return
        measured.runs.append(metrics)
        print(", ".join(f"{name} {value:.4g}" for name, value in metrics.items()), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
