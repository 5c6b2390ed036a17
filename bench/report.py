"""The results: as a table for people, and as JSON with every single run."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.installation import ROOT, Server
from bench.targets import Figure, Target

RESULTS = ROOT / "bench" / "results"
_HEADINGS = ("figure", "engine", "metric", "median", "spread of the runs", "target", "met")


@dataclass
class Measured:
    """A figure on one engine: the metrics of each run, or why there are none."""

    figure: Figure
    engine: str
    runs: list[dict[str, float]] = field(default_factory=list)
    error: str = ""

    def values(self, metric: str) -> list[float]:
        return [run[metric] for run in self.runs]

    def median(self, metric: str) -> float:
        return statistics.median(self.values(metric))


class Report:
    def __init__(self, conditions: dict[str, Any]) -> None:
        self.conditions = conditions
        self.measured: list[Measured] = []

    def bound(self, of: Measured, metric: str) -> tuple[Target, float] | None:
        """The metric's target, and the value that it is a share of; None where there is nothing to hold it to."""
        target = of.figure.target(of.engine, metric)
        if target is None or not of.runs:
            return None
        if not target.of:
            return target, 1.0
        for base in self.measured:
            if (base.figure.name, base.engine) == (target.of, of.engine) and base.runs:
                return target, base.median(metric)
        return None

    def table(self) -> str:
        rows: list[Sequence[str]] = [_HEADINGS]
        for measured in self.measured:
            name, engine = measured.figure.name, measured.engine
            if not measured.runs:
                rows.append((name, engine, "-", "-", "not measured", "-", "-"))
                continue
            for metric in measured.figure.metrics:
                rows.append((name, engine, *self._row(measured, metric)))
        widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])

    def _row(self, measured: Measured, metric: str) -> tuple[str, str, str, str, str]:
        unit = measured.figure.metrics[metric]
        values, median = measured.values(metric), measured.median(metric)
        spread = f"{_number(min(values))} to {_number(max(values))}"
        wanted = met = "-"
        if bound := self.bound(measured, metric):
            target, base = bound
            least = f"at least {_number(target.least * base)}" if target.least is not None else ""
            most = f"at most {_number(target.most * base)}" if target.most is not None else ""
            wanted = f"{least or most} {unit}"
            met = "yes" if target.met(median, base) else "NO"
        return metric, f"{_number(median)} {unit}", spread, wanted, met

    def as_json(self) -> dict[str, Any]:
        return self.conditions | {"figures": [self._entry(measured) for measured in self.measured]}

    def _entry(self, measured: Measured) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "figure": measured.figure.name,
            "title": measured.figure.title,
            "engine": measured.engine,
            "runs": measured.runs,
        }
        if measured.error:
            entry["error"] = measured.error
        if measured.runs:
            entry["metrics"] = {metric: self._metric(measured, metric) for metric in measured.figure.metrics}
        return entry

    def _metric(self, measured: Measured, metric: str) -> dict[str, Any]:
        values, median = measured.values(metric), measured.median(metric)
        unit = measured.figure.metrics[metric]
        entry = {"unit": unit, "median": median, "lowest": min(values), "highest": max(values)}
        if bound := self.bound(measured, metric):
            target, base = bound
            limits = {"least": target.least, "most": target.most}
            entry["target"] = {name: limit * base for name, limit in limits.items() if limit is not None}
            entry["met"] = target.met(median, base)
        return entry

    def write(self) -> Path:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.conditions['started_at'].replace(':', '')}.json"
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n")
        return path


def conditions(postgresql: Server | None, **more: Any) -> dict[str, Any]:
    """Under what the figures were made; the load tells whether others used the machine."""
    found: dict[str, Any] = {
        "started_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": _git("rev-parse", "HEAD"),
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "platform": platform.platform(),
        "python": platform.python_version(),
        **more,
    }
    if postgresql is not None:
        names = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers")
        found["postgresql"] = {name: postgresql.execute(f"SHOW {name}")[0][0] for name in names}
    return found


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip()


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
