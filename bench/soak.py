"""`python -m bench soak`: kills random processes under load for as long as wanted, and looks what became of the tasks.

Two hosts work on mixed tasks while their processes are killed, told to stop and frozen at random, and database
connections are cut. Afterwards every task must be completed or wait for a person who is asked about exactly the call
that may have run. Exit code 0 if nothing was lost and nothing ran twice in silence.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.installation import end_of_log, in_child, installation, server
from bench.report import RESULTS, conditions
from bench.targets import ENGINES, POSTGRESQL

SETTLING = 300  # seconds that the child may take beyond its time


def main(arguments: list[str]) -> int:
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, so that everything is stopped
    engines = ENGINES if options.engine == "both" else (options.engine,)
    reports = [_soak(engine, options) for engine in engines]
    for report in reports:
        print(_table(report))
    return 0 if all(report["ok"] for report in reports) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long processes are killed (10)")
    parser.add_argument("--kills", type=int, help="end after so many, if that is sooner")
    parser.add_argument(
        "--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of what is hit when"
    )
    parser.add_argument("--engine", choices=[*ENGINES, "both"], default="both", help="the database (both)")
    return parser


def _soak(engine: str, options: argparse.Namespace) -> dict[str, Any]:
    print(f"soaking on {engine} for {options.minutes:g} minutes, seed {options.seed}", file=sys.stderr)
    with ExitStack() as stack:
        postgresql = None
        if engine == POSTGRESQL:
            directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="hector-soak-pg-"))
            postgresql = stack.enter_context(server(Path(directory) / "data"))
        about = conditions(postgresql, engine=engine, seed=options.seed, minutes=options.minutes)
        environment = stack.enter_context(installation(engine, postgresql, {}))
        seconds = options.minutes * 60
        try:
            arguments = ("soak", str(seconds), str(options.seed), str(options.kills or sys.maxsize))
            found = in_child(environment, *arguments, timeout=seconds + SETTLING)
        except subprocess.SubprocessError as error:
            raise SystemExit(f"{end_of_log(environment)}\nthe soak on {engine} broke off: {error}") from None
        report: dict[str, Any] = about | found
        report["ok"] = not (report["lost"] or report["silent_double_runs"] or report["complaints"])
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"soak-{engine}-{about['started_at'].replace(':', '')}.json"
        path.write_text(json.dumps(report, indent=1) + "\n")
        if not report["ok"]:  # what happened is in the processes' log
            path.with_suffix(".log").write_bytes(Path(environment["HECTOR_BENCH_LOG"]).read_bytes())
        return report


def _table(report: dict[str, Any]) -> str:
    kills = ", ".join(f"{count} {kind}" for kind, count in sorted(report["kills"].items()))
    rows = [
        ("engine", report["engine"]),
        ("seed", report["seed"]),
        ("seconds", f"{report['seconds']:.0f}"),
        ("random kills", f"{sum(report['kills'].values())} ({kills})"),
        ("tasks", report["tasks"]),
        ("completed", report["completed"]),
        ("in doubt, a person is asked", report["in_doubt"]),
        ("attempts that crashed", report["crashed_attempts"]),
        ("lost", len(report["lost"])),
        ("silent double runs", len(report["silent_double_runs"])),
        ("complaints of the invariants", len(report["complaints"])),
    ]
    width = max(len(name) for name, _ in rows)
    details = [*report["lost"], *report["silent_double_runs"], *report["complaints"]][:20]
    return "\n".join(["", *(f"{name.ljust(width)}  {value}" for name, value in rows), *map(str, details)])
