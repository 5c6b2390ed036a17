"""`type: timer`: work that the clock starts, at the times of a cron expression or after each interval.

A timer's next firing is a scheduled entry of the queue (`apps.triggers.entry_points.ticking`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, tzinfo
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from apps.agents.registry import STORED, Duration, TriggerSpec
from apps.tenancy.models import App
from apps.triggers.entry_points import schedules, timers
from apps.triggers.models import EntryPoint
from apps.triggers.starters import base
from apps.triggers.starters.base import TriggerType


def _is_cron(text: str, info: ValidationInfo) -> str:
    if info.context != STORED:
        schedules.check(text)
    return text


def _is_zone(name: str, info: ValidationInfo) -> str:
    if info.context == STORED:
        return name
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # a name that is none, is a path, or is a directory's
        raise ValueError(f"there is no time zone {name[:100]!r}; write one such as Europe/Berlin") from None
    return name


class TimerSpec(TriggerSpec):
    """The clock starts it."""

    type: Literal["timer"]
    """The clock."""
    cron: Annotated[str, AfterValidator(_is_cron)] | None = None
    """Minute, hour, day of the month, month, day of the week, such as `0 9 * * 1-5`."""
    interval: Annotated[Duration, Field(ge=1)] | None = None
    """In the place of `cron`: the time from one firing to the next, at least a second."""
    timezone: Annotated[str, AfterValidator(_is_zone)] = "UTC"
    """The time zone of `cron`, and of times in templates."""
    run_immediately: bool = False
    """Whether it also fires when the document first names it."""
    idle_timeout: Duration | None = None
    """Skips a firing while a task of its agent runs that has done something within this time."""
    misfire: Literal["once", "all", "skip"] = "once"
    """What is done about times at which nothing ran: one firing for all, one for each, or none."""

    @model_validator(mode="after")
    def _has_times(self) -> Self:
        if (self.cron is None) == (self.interval is None):
            raise ValueError("a timer has either `cron` or `interval`")
        return self

    @property
    def zone(self) -> tzinfo:
        return UTC if self.timezone == "UTC" else ZoneInfo(self.timezone)


class TimerTrigger(TriggerType):
    name, spec = "timer", TimerSpec

    def appeared(self, app: App, entry_point: EntryPoint) -> None:
        timers.appeared(app, entry_point)

    def changed(self, app: App, entry_point: EntryPoint, was: Mapping[str, Any]) -> None:
        timers.changed(app, entry_point, was)

    def paused(self, app: App, entry_point: EntryPoint) -> None:
        timers.stop(app, entry_point)

    def resumed(self, app: App, entry_point: EntryPoint) -> None:
        timers.go_on(app, entry_point)

    def removed(self, app: App, entry_point: EntryPoint) -> None:
        timers.stop(app, entry_point)


def register() -> None:
    base.register(TimerTrigger())
