"""What is measured, and what each measurement has to reach.

A figure names the function that measures it, once, inside an installation (`bench.figures`); the function returns
one number per metric. This module imports nothing of Hector, so that the parent process needs no settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SQLITE, POSTGRESQL = "sqlite", "postgresql"
ENGINES = (POSTGRESQL, SQLITE)


@dataclass(frozen=True)
class Target:
    """A bound for a metric's median. With `of`, it is a share of the same metric of that figure."""

    least: float | None = None
    most: float | None = None
    of: str = ""

    def met(self, value: float, base: float = 1.0) -> bool:
        return (self.least is None or value >= self.least * base) and (self.most is None or value <= self.most * base)


@dataclass(frozen=True)
class Figure:
    name: str
    title: str
    measure: str  # module:function
    metrics: Mapping[str, str]  # each with its unit
    targets: Mapping[str, Mapping[str, Target]] = field(default_factory=dict)  # by engine, then metric
    engines: tuple[str, ...] = ENGINES
    on_request: bool = False  # only measured when it is named

    def target(self, engine: str, metric: str) -> Target | None:
        return self.targets.get(engine, {}).get(metric)


_RATE = {"per_second": "/s"}
_NEARLY_AS_FAST = {POSTGRESQL: {"per_second": Target(least=0.9, of="queue")}}
_PICK_UP = {"p50": "ms", "p95": "ms", "p50_from_commit": "ms", "p95_from_commit": "ms"}
_POST = {"per_second": "/s", "p50": "ms", "p99": "ms"}

FIGURES = (
    Figure(
        "queue",
        "queue alone: claim, run a no-op, settle; 20,000 preloaded",
        "bench.figures.queue:alone",
        _RATE,
        {POSTGRESQL: {"per_second": Target(least=10_000)}},
    ),
    Figure(
        "queue-scheduled",
        "the same while 500,000 entries are scheduled for later",
        "bench.figures.queue:with_scheduled",
        _RATE,
        _NEARLY_AS_FAST,
    ),
    Figure(
        "queue-ready",
        "the same while 500,000 entries of lower priority are ready",
        "bench.figures.queue:with_ready",
        _RATE,
        _NEARLY_AS_FAST,
    ),
    Figure(
        "function-tasks",
        "whole tasks of a function agent; 5,000 preloaded",
        "bench.figures.tasks:of_function_agent",
        _RATE,
        {POSTGRESQL: {"per_second": Target(least=2_000)}, SQLITE: {"per_second": Target(least=1_000)}},
    ),
    Figure(
        "llm-tasks",
        "whole tasks of a scripted llm agent, one model turn; 1,500 preloaded",
        "bench.figures.tasks:of_llm_agent",
        _RATE,
        {POSTGRESQL: {"per_second": Target(least=300)}},
    ),
    Figure(
        "pick-up",
        "commit of a task to the start of its run, idle system",
        "bench.figures.pick_up:measure",
        _PICK_UP,
        {POSTGRESQL: {"p50": Target(most=4), "p95": Target(most=10)}, SQLITE: {"p50": Target(most=20)}},
    ),
    Figure(
        "waiting",
        "500 tasks that wait 1 s each: first start to last end, memory of all worker processes",
        "bench.figures.waiting:measure",
        {"seconds": "s", "pss": "MB"},
        {POSTGRESQL: {"seconds": Target(most=2.5), "pss": Target(most=450)}},
    ),
    Figure(
        "post",
        "POST /tasks, 16 clients, whole path, claiming paused",
        "bench.figures.post:measure",
        _POST,
        {POSTGRESQL: {"per_second": Target(least=300), "p99": Target(most=150)}},
    ),
    Figure(
        "webhooks",
        "signed webhooks, 50 clients, durable before the answer, workers running",
        "bench.figures.entry_points:webhooks",
        {**_POST, "lost": ""},
        {
            engine: {"per_second": Target(least=150), "p99": Target(most=400), "lost": Target(most=0)}
            for engine in ENGINES
        },
    ),
    Figure(
        "reaction",
        "commit of an event to the start of the run that reacts to it, idle system",
        "bench.figures.entry_points:reaction",
        {"p50": "ms", "p95": "ms"},
        {engine: {"p50": Target(most=15)} for engine in ENGINES},
    ),
    Figure(
        "timers",
        "1,000 timers due at the same second, each exactly once; PostgreSQL: 2 hosts",
        "bench.figures.entry_points:timers",
        {"p50": "ms", "p99": "ms", "p99_start": "ms"},
        {engine: {"p99": Target(most=1000)} for engine in ENGINES},
    ),
    Figure(
        "claim",
        "one claim while 1,000 entries wait, and while 1,000,000 do",
        "bench.figures.claim:measure",
        {"few": "ms", "many": "ms", "ratio": ""},
        {engine: {"ratio": Target(most=1.1)} for engine in ENGINES},
    ),
    Figure(
        "decision",
        "decision about a tool call to the start of the tool, idle system",
        "bench.figures.approvals:decision",
        {"p50": "ms", "p95": "ms", "p50_whole": "ms", "p95_whole": "ms"},
        {POSTGRESQL: {"p50": Target(most=20), "p95": Target(most=60)}},
    ),
    Figure(
        "approvals-waiting",
        "100,000 waiting approvals with reminders: memory of all worker processes, one claim (and each as a share of"
        " what it is without them), the inbox, the API's list of one's own; these where all of them wait for others",
        "bench.figures.approvals:waiting",
        {
            "memory": "MB",
            "memory_ratio": "",
            "claim": "ms",
            "claim_ratio": "",
            "inbox": "ms",
            "list": "ms",
            "inbox_others": "ms",
            "list_others": "ms",
        },
        {
            engine: {"memory_ratio": Target(most=1.1), "claim_ratio": Target(most=1.1)}
            | dict.fromkeys(("inbox", "list", "inbox_others", "list_others"), Target(most=200))
            for engine in ENGINES
        },
    ),
    Figure(
        "deciders",
        "50 approvers deciding the same 1,000 approvals at once",
        "bench.figures.approvals:deciders",
        {"decided_twice": "", "run_twice": "", "seconds": "s"},
        {engine: {"decided_twice": Target(most=0), "run_twice": Target(most=0)} for engine in ENGINES},
    ),
    Figure(
        "replace",
        "200 rapid triggers of an entry point that replaces what runs: how many run at a time, whether the last wins,"
        " how many hang, how many were stopped while they ran",
        "bench.figures.replace:measure",
        {
            "most_running": "",
            "last_wins": "",
            "hanging": "",
            "replaced_running": "",
            "per_second": "/s",
            "last_ends_after": "s",
        },
        {
            engine: {"most_running": Target(most=1), "last_wins": Target(least=1), "hanging": Target(most=0)}
            for engine in ENGINES
        },
    ),
    Figure(
        "recovery",
        "kill -9 of a worker process to the second start of its task",
        "bench.figures.recovery:measure",
        {"p50": "s", "most": "s"},
        {engine: {"most": Target(most=2)} for engine in ENGINES},
    ),
    Figure(
        "prune",
        "100,000 ended tasks pruned, and claims meanwhile",
        "bench.figures.prune:measure",
        {"seconds": "s", "p50": "ms", "p99": "ms", "most": "ms", "p99_alone": "ms"},
        {engine: {"p99": Target(most=20)} for engine in ENGINES},
    ),
    Figure(
        "create-app",
        "an App and its token, one after the other; and a schema made by running the migrations",
        "bench.figures.create_app:measure",
        {"p50": "ms", "p95": "ms", "migrated": "ms"},
        {POSTGRESQL: {"p95": Target(most=300)}, SQLITE: {"p95": Target(most=150)}},
    ),
    Figure(
        "migrate-apps",
        "1,000 Apps get one more column, while a server of the version before takes tasks of one of them",
        "bench.figures.migrate_apps:measure",
        {"seconds": "s", "per_second": "/s", "slowest": "ms"},
    ),
    Figure(
        "serve",
        "hector serve from start to healthy: nothing there yet, and again",
        "bench.figures.serve:measure",
        {"empty": "s", "existing": "s"},
        {SQLITE: {"empty": Target(most=6), "existing": Target(most=3)}},
        engines=(SQLITE,),
    ),
    Figure(
        "make-test",
        "make test, both engines, browser tests included",
        "bench.figures.make_test:measure",
        {"seconds": "s"},
        {SQLITE: {"seconds": Target(most=360)}},
        engines=(SQLITE,),
        on_request=True,
    ),
)
