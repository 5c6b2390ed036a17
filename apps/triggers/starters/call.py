"""`type: api` and `type: manual`: work that only a call starts, by a program or by a person."""

from __future__ import annotations

from typing import Literal

from apps.agents.registry import TriggerSpec
from apps.triggers.starters import base
from apps.triggers.starters.base import TriggerType


class ApiSpec(TriggerSpec):
    """Programs start it: `POST /entry-points/NAME/trigger`."""

    type: Literal["api"]
    """A call of the API."""


class ManualSpec(TriggerSpec):
    """People start it, when they see fit."""

    type: Literal["manual"]
    """A person, in the console or on the command line."""


class _Call(TriggerType):
    variables = frozenset({"input"})
    by_call = True


class ApiTrigger(_Call):
    name, spec = "api", ApiSpec


class ManualTrigger(_Call):
    name, spec = "manual", ManualSpec


def register() -> None:
    base.register(ApiTrigger())
    base.register(ManualTrigger())
