"""The steps from a runtime's configuration to an engine that can run. All of them may block."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import django
from django.apps import apps

from hector.runtime import callables
from hector.runtime.config import AgentRuntimeConfig, CannotStart, Document, EntryPointSpec

if TYPE_CHECKING:
    from hector.client import AsyncClient
    from hector.runtime.engine import Engine

SETTINGS = "hector.runtime.settings"
ACTOR = "program"  # how events and revisions name it
TRIES = 5  # at a document that others change at the same time


def engine_of(config: AgentRuntimeConfig, entry_points: Mapping[str, EntryPointSpec]) -> Engine:
    """Raises CannotStart."""
    from hector_site.env import BadSetting

    try:
        _set_up(config)
        return _prepared(config, entry_points)
    except BadSetting as error:
        raise CannotStart(str(error)) from None


def client_of(config: AgentRuntimeConfig) -> tuple[AsyncClient, Callable[[], None]]:
    from apps.accounts.permissions import Caller, Role
    from hector import local

    return local.async_client(Caller(ACTOR, Role.ADMIN, is_platform_operator=True), app=config.app)


def _set_up(config: AgentRuntimeConfig) -> None:
    """Reads the settings, once per process."""
    variables = config.variables()
    if not apps.ready:
        os.environ |= variables
        os.environ["DJANGO_SETTINGS_MODULE"] = SETTINGS
        django.setup()
        return
    from django.conf import settings

    if not hasattr(settings, "HECTOR_DATABASE"):
        raise CannotStart("this process has a Django project of its own: run Hector in another, and use hector.Client")
    differing = [name for name, value in variables.items() if os.environ.get(name, value) != value]
    if differing:
        raise CannotStart(f"this process has another installation already, by its {', '.join(differing)}")


def _prepared(config: AgentRuntimeConfig, entry_points: Mapping[str, EntryPointSpec]) -> Engine:
    from django.db import connections

    from apps.agents import handlers
    from apps.ops.startup import prepare
    from hector.runtime.engine import Engine
    from hector_site.sharing import work_here

    try:
        own = _own_modules()
        prepare()
        working = work_here(alone=bool(own))
        try:
            handlers.of_this_program |= own
            _put_in_force(config, entry_points)
        except BaseException:  # a signal, too: what says that work is done here goes with who does not do it
            working.close()
            raise
        return Engine(slots=config.slots, home=working)
    finally:
        connections.close_all()


def _own_modules() -> set[str]:
    """Modules with the program's functions that other processes of the installation may not import."""
    from django.conf import settings

    allowed = settings.HECTOR_FUNCTION_ALLOW
    own = {name for name in callables.modules() if not any(f"{name}.".startswith(f"{known}.") for known in allowed)}
    if own and not settings.HECTOR_DATABASE.startswith("sqlite"):
        raise CannotStart(
            f"workers on other hosts could not import {', '.join(sorted(own))}: put the functions into a package that "
            "every host has and that HECTOR_FUNCTION_ALLOW names"
        )
    return own


def _put_in_force(config: AgentRuntimeConfig, entry_points: Mapping[str, EntryPointSpec]) -> None:
    """Applies the document with what the program has declared in it; nothing changes where all of that is in force."""
    from apps.agents.config import apply as revisions
    from apps.agents.config.faults import ConfigInvalid
    from apps.tenancy import lifecycle
    from apps.tenancy.errors import AppNotFound
    from apps.tenancy.models import DEFAULT_APP

    try:
        app = lifecycle.get(config.app)
    except AppNotFound as error:
        raise CannotStart(str(error)) from None
    for left in reversed(range(TRIES)):
        current = revisions.current(app)
        document = _with_own(config, entry_points, current.document if current else {"version": "2"})
        try:
            revisions.apply(
                app,
                document,
                by=ACTOR,
                expected_revision=current.number if current else 0,
                from_command_line=app.name == DEFAULT_APP,
            )
            return
        except revisions.RevisionConflict:
            if not left:
                raise
        except ConfigInvalid as invalid:
            faults = "\n".join(f"  {fault}" for fault in invalid.faults)
            raise CannotStart(f"the document is refused:\n{faults}") from None


def _with_own(config: AgentRuntimeConfig, entry_points: Mapping[str, EntryPointSpec], current: Document) -> Document:
    """The document, with what the program itself has declared."""
    document = _read(config) or current
    declared: dict[str, Mapping[str, callables.Declared | EntryPointSpec]] = {
        "tools": callables.tools,
        "agents": callables.agents,
        "entry_points": entry_points,
    }
    for key, entries in declared.items():
        if entries:
            own = {name: entry.as_document() for name, entry in entries.items()}
            document = {**document, key: {**document.get(key, {}), **own}}
    return document


def _read(config: AgentRuntimeConfig) -> Document | None:
    from pathlib import Path

    from apps.agents.config.reading import read

    if config.document is None or isinstance(config.document, dict):
        return config.document
    text = config.document.read_text("utf-8") if isinstance(config.document, Path) else config.document
    return read(text).data
