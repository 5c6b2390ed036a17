"""What stands above a list: its states with their numbers, and the filters that narrow it down."""

from __future__ import annotations

from dataclasses import dataclass

from apps.console.words import Count


@dataclass(frozen=True)
class RailItem:
    status: str  # "" for all of them
    count: Count
    url: str
    active: bool


@dataclass(frozen=True)
class Chip:
    label: str
    value: str
    without: str  # the address without it
