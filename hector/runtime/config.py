"""What a runtime is told: which installation, whose work, and what starts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hector.client.errors import HectorError

Document = dict[str, Any]


class CannotStart(HectorError):
    """The runtime cannot start; the text says why and what to do."""


@dataclass(frozen=True)
class AgentRuntimeConfig:
    """Which installation, and how.

    `home`: the directory for state (HECTOR_HOME, or `.hector`); `database`: its URL (SQLite in `home`); `app`: whose
    agents and tasks; `document`: the App's configuration, as an object, YAML text, or a file: it is put in force at the
    start. Left out, the one in force stays. `slots`: tasks that run at the same time; `grace`: seconds that a stop may
    take; `settings`: other `HECTOR_…` variables.
    """

    home: str | Path | None = None
    database: str | None = None
    app: str = "default"
    document: Document | str | Path | None = None
    slots: int = 32
    grace: float = 30.0
    settings: Mapping[str, str] = field(default_factory=dict)

    def variables(self) -> dict[str, str]:
        database = self.database
        if database is None and self.home is not None:  # and not what a variable says of another home
            database = f"sqlite://{Path(self.home).absolute()}/hector.db"
        own = {"HECTOR_HOME": self.home, "HECTOR_DATABASE": database, "HECTOR_GRACE": self.grace}
        return {name: str(value) for name, value in {**own, **self.settings}.items() if value is not None}


@dataclass(frozen=True)
class EntryPointSpec:
    """What starts an agent's work under a name of its own: an entry of a document's `entry_points`.

    `trigger`: what starts it beside `AgentRuntime.trigger`, such as `{"type": "timer", "interval": "5m"}`. `input` and
    `session` are templates. What is None is left out, and so is as the document has it.
    """

    id: str
    agent: str
    trigger: Mapping[str, Any] = field(default_factory=lambda: {"type": "api"})
    input: str | Mapping[str, Any] | None = None
    session: str | None = None
    isolation: str | None = None
    priority: int | None = None
    description: str | None = None
    entry_node: str | None = None
    max_concurrent: int | None = None
    on_limit: str | None = None

    def as_document(self) -> Document:
        return {name: value for name, value in asdict(self).items() if name != "id" and value is not None}
