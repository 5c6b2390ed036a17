"""What all types of triggers have in common, and their registry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from apps.agents import registry
from apps.agents.registry import TriggerSpec
from apps.tenancy.models import App
from apps.triggers.models import EntryPoint

# What every template may use.
VARIABLES = frozenset({"entry_point", "scheduled_for", "now"})


class TriggerType:
    """A type of triggers: what it may say, what its templates may use, and what it does when something happens to an
    entry point that has it.

    Each method is called inside the App, in the transaction that does it, with the entry point's row as it is from now
    on, locked. An entry point that is paused appears and changes without a word: it is `resumed` one day.
    """

    name: str
    spec: type[TriggerSpec]
    variables: frozenset[str] = frozenset()  # of templates, beside those of all types
    by_call: bool = False  # nothing but calls starts it, so a pause refuses them

    def appeared(self, app: App, entry_point: EntryPoint) -> None:
        """The document names it, and did not before, or with another type of trigger."""

    def changed(self, app: App, entry_point: EntryPoint, was: Mapping[str, Any]) -> None:
        """The document says something else of it than before (`was`, an entry of it)."""

    def paused(self, app: App, entry_point: EntryPoint) -> None:
        """It starts nothing from now on."""

    def resumed(self, app: App, entry_point: EntryPoint) -> None:
        """It starts work again, from now on."""

    def removed(self, app: App, entry_point: EntryPoint) -> None:
        """The document does not name it any more, or with another type of trigger. It may have been paused."""


trigger_types: dict[str, TriggerType] = {}


def register(trigger_type: TriggerType) -> None:
    trigger_types[trigger_type.name] = trigger_type
    registry.trigger_specs[trigger_type.name] = trigger_type.spec
