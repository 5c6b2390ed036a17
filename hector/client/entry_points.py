"""What starts work under a name of its own, and each time that it did."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from hector.client.calls import Call, Group, Page, Record, given, listing, operation, path
from hector.client.connection import Async, Sync
from hector.client.tasks import Task, submission

C = TypeVar("C", Sync, Async)


class EntryPoint(Record):
    id: str
    agent: str
    type: str
    description: str
    state: str
    paused_at: datetime | None
    paused_by: str
    pause_reason: str
    running: int
    idle_seconds: float | None
    next_runs: list[datetime]


class Backfill(Record):
    """Times that a timer has not fired for: how many, and from when until when."""

    count: int
    first: datetime | None
    last: datetime | None


class Timers(Record):
    paused: bool
    timers: int


class Firing(Record):
    """One time that something asked an entry point to start work, and what came of it."""

    id: str
    cause: str
    at: datetime
    by: str
    scheduled_for: datetime | None
    outcome: str
    reason: str
    task: str | None


class EntryPointStats(Record):
    id: str
    pending: int
    running: int
    input_required: int
    max_concurrent: int | None
    idle_seconds: float | None


class Stats(Record):
    """What of the App is under way."""

    pending: int
    running: int
    input_required: int
    entry_points: list[EntryPointStats]


class EntryPoints(Group[C]):
    @operation("get_stats")
    def stats(self) -> Call[Stats]:
        """What of the App is under way, in all and by entry point."""
        return Call(Stats, "GET", "/stats")

    @listing("list_entry_points")
    def list(self, *, limit: int | None = None) -> Call[Page[EntryPoint]]:
        return Call(Page[EntryPoint], "GET", "/entry-points", given(limit=limit))

    @operation("get_entry_point")
    def get(self, name: str) -> Call[EntryPoint]:
        return Call(EntryPoint, "GET", path("/entry-points/{}", name))

    @listing("list_firings")
    def firings(self, name: str, *, limit: int | None = None) -> Call[Page[Firing]]:
        """The newest first."""
        return Call(Page[Firing], "GET", path("/entry-points/{}/firings", name), given(limit=limit))

    @operation("trigger_entry_point")
    def trigger(
        self,
        name: str,
        input: str | Mapping[str, Any] | None = None,
        *,
        idempotency_key: str | None = None,
        wait: float | None = None,
    ) -> Call[Task]:
        """Starts the entry point's work now; `idempotency_key` and `wait` as of `tasks.submit`."""
        place = path("/entry-points/{}/trigger", name)
        return submission(given(input=input), idempotency_key, wait, to=place)

    @operation("pause_entry_point")
    def pause(self, name: str, *, reason: str | None = None) -> Call[EntryPoint]:
        return Call(EntryPoint, "POST", path("/entry-points/{}/pause", name), body=given(reason=reason))

    @operation("resume_entry_point")
    def resume(self, name: str, *, reason: str | None = None) -> Call[EntryPoint]:
        return Call(EntryPoint, "POST", path("/entry-points/{}/resume", name), body=given(reason=reason))

    @operation("pause_timers")
    def pause_timers(self, *, reason: str | None = None) -> Call[Timers]:
        return Call(Timers, "POST", "/timers/pause", body=given(reason=reason))

    @operation("resume_timers")
    def resume_timers(self, *, reason: str | None = None) -> Call[Timers]:
        return Call(Timers, "POST", "/timers/resume", body=given(reason=reason))

    @operation("count_backfill")
    def count_backfill(self, name: str, since: datetime, until: datetime) -> Call[Backfill]:
        return Call(Backfill, "GET", path("/entry-points/{}/backfill", name), given(since=since, until=until))

    @operation("backfill_entry_point")
    def backfill(self, name: str, since: datetime, until: datetime, count: int) -> Call[Backfill]:
        body = given(since=since, until=until, count=count)
        return Call(Backfill, "POST", path("/entry-points/{}/backfill", name), body=body)
