"""An App's agents."""

from __future__ import annotations

from datetime import datetime
from typing import TypeVar

from hector.client.calls import Call, Group, Page, Record, given, listing, operation, path
from hector.client.connection import Async, Sync

C = TypeVar("C", Sync, Async)


class Hold(Record):
    """Who has paused something, since when and why."""

    by: str
    since: datetime
    reason: str


class PauseResult(Record):
    """What a pause, or its end, means for the tasks that there are."""

    paused: Hold | None
    running: int
    waiting: int
    scheduled: int
    effect: str


class Agent(Record):
    name: str
    description: str
    type: str
    tools: list[str]
    version: str
    paused: Hold | None


class Agents(Group[C]):
    @listing("list_agents")
    def list(self, *, limit: int | None = None) -> Call[Page[Agent]]:
        return Call(Page[Agent], "GET", "/agents", given(limit=limit))

    @operation("get_agent")
    def get(self, name: str) -> Call[Agent]:
        return Call(Agent, "GET", path("/agents/{}", name))

    @operation("pause_agent")
    def pause(self, name: str, *, reason: str | None = None) -> Call[PauseResult]:
        """Starts nothing of the agent any more."""
        return Call(PauseResult, "POST", path("/agents/{}/pause", name), body=given(reason=reason))

    @operation("resume_agent")
    def resume(self, name: str, *, reason: str | None = None) -> Call[PauseResult]:
        return Call(PauseResult, "POST", path("/agents/{}/resume", name), body=given(reason=reason))
