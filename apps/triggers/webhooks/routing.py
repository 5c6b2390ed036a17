"""Which entry point a request is for."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apps.triggers.entry_points.specs import spec_of
from apps.triggers.models import EntryPoint
from apps.triggers.starters.webhook import NAME, WebhookSpec


class NoWebhook(Exception):
    """There is nothing at this address."""


class MethodNotTaken(Exception):
    """The address takes requests, and not with this method."""

    def __init__(self, methods: list[str]) -> None:
        super().__init__(f"This address takes {', '.join(methods)}.")
        self.methods = methods


@dataclass(frozen=True)
class Route:
    entry_point: EntryPoint
    spec: WebhookSpec
    parameters: dict[str, str]  # of the path


def find(path: str, method: str, asked: Collection[str] = ()) -> Route:
    """The entry point for a path behind /webhooks/APP; where several fit, the one that leaves the least open.

    `asked` are the names of the parameters in the address: a GET with one of them may be a handshake. Raises NoWebhook
    or MethodNotTaken.
    """
    found: list[tuple[EntryPoint, dict[str, Any], dict[str, str]]] = []
    there = "SELECT * FROM triggers_entrypoint WHERE type = %s AND removed_at IS NULL"
    for entry_point in EntryPoint.objects.raw(there, [NAME]):
        trigger: dict[str, Any] = entry_point.spec["trigger"]
        if (parameters := match(trigger["path"], path)) is not None:
            found.append((entry_point, trigger, parameters))
    if not found:
        raise NoWebhook
    fitting = [one for one in found if method in one[1]["methods"]]
    if not fitting and method == "GET":
        fitting = [one for one in found if one[1]["challenge"] in asked]
    if not fitting:
        raise MethodNotTaken(sorted({name for _, trigger, _ in found for name in trigger["methods"]}))
    entry_point, _, parameters = min(fitting, key=lambda one: len(one[2]))
    return Route(entry_point, trigger_of(entry_point), parameters)


def trigger_of(entry_point: EntryPoint) -> WebhookSpec:
    spec = spec_of(entry_point).trigger
    assert isinstance(spec, WebhookSpec)
    return spec


def match(template: str, path: str) -> dict[str, str] | None:
    """The parameters of a path that fits; None: it does not."""
    found = _pattern(template).fullmatch(path)
    return found.groupdict() if found else None


@lru_cache(maxsize=1000)
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template)))
