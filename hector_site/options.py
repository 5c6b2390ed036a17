"""The command line's options: each one sets a `HECTOR_…` variable before Django's settings are read.

So a flag and its variable mean the same by construction, children of `hector serve` inherit both, and a value is
checked in one place (`hector_site.settings`).
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from hector_site.env import BadSetting


@dataclass(frozen=True)
class Option:
    flag: str
    metavar: str  # empty: a switch
    help: str
    short: str = ""

    @property
    def variable(self) -> str:
        return "HECTOR_" + self.flag.removeprefix("--").replace("-", "_").upper()

    @property
    def destination(self) -> str:
        return self.variable.lower()


@dataclass(frozen=True)
class Group:
    title: str
    options: tuple[Option, ...]


CONFIG = Group(
    "configuration",
    (
        Option("--config", "FILE", "the default App's document (./hector.yaml if there, else the demo)", short="-c"),
        Option("--watch", "", "apply the document again whenever it changes"),
    ),
)
ADDRESS = Group(
    "address",
    (
        Option("--host", "ADDRESS", "address to listen on (127.0.0.1)"),
        Option("--port", "N", "port to listen on (8080)"),
        Option("--auth-secret", "TEXT", "the operator secret (made once, in HECTOR_HOME/secret); better as a variable"),
    ),
)
ISSUER = Group(
    "tokens of another issuer (all four, or none)",
    (
        Option("--auth-jwks-url", "URL", "where its keys are (https)"),
        Option("--auth-issuer", "TEXT", "the `iss` of its tokens"),
        Option("--auth-audience", "TEXT", "the `aud` of the tokens that are meant for Hector"),
        Option("--auth-apps", "NAMES", "the Apps that it may let people into, separated by commas"),
    ),
)
COMMON = Group(
    "database and logs",
    (
        Option("--database", "URL", "sqlite://FILE or postgres://USER:PASSWORD@HOST/NAME (sqlite in HECTOR_HOME)"),
        Option("--log-level", "LEVEL", "debug, info, warning, error or critical (info)"),
        Option("--log-format", "FORMAT", "json, human or auto (auto: human where a person watches)"),
        Option("--log-file", "FILE", "write logs there instead of to stderr"),
    ),
)
QUEUE = Group(
    "queue",
    (
        Option("--queue-workers", "N", "worker processes that run tasks (4)"),
        Option("--slots", "N", "tasks that one worker process runs at the same time (32)"),
        Option("--queue-max-retries", "N", "retries of a failing task after its first run (3)"),
        Option("--queue-initial-delay", "TIME", "longest wait before the first retry; doubles with each (1s)"),
        Option("--queue-max-delay", "TIME", "longest wait before any retry (5m)"),
        Option("--queue-stale-threshold", "TIME", "silence after which a host's tasks are taken over (5m)"),
    ),
)


class Parser(argparse.ArgumentParser):
    """An argparse parser whose complaint is one sentence, as an exception."""

    def error(self, message: str) -> NoReturn:
        raise BadSetting(f"{message.removeprefix('argument ')} (see `{self.prog} --help`)")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=min(120, shutil.get_terminal_size().columns))


def parser(
    prog: str, groups: Sequence[Group], *, description: str = "", epilog: str = "", add_help: bool = True
) -> Parser:
    made = Parser(
        prog,
        usage=f"{prog} [options]",
        description=description,
        epilog=epilog,
        add_help=add_help,
        allow_abbrev=False,
        formatter_class=HelpFormatter,
    )
    for group in groups:
        section = made.add_argument_group(group.title)
        for option in group.options:
            flags = [option.short, option.flag] if option.short else [option.flag]
            kind: dict[str, Any] = {"metavar": option.metavar}
            if not option.metavar:
                kind = {"action": "store_const", "const": "true"}
            section.add_argument(*flags, dest=option.destination, help=option.help, **kind)
    return made


def into_environment(namespace: argparse.Namespace, groups: Sequence[Group]) -> dict[str, str]:
    """Sets the variables of the flags that were given. Returns variable -> flag, for what a complaint should name."""
    given = {}
    for group in groups:
        for option in group.options:
            value = getattr(namespace, option.destination)
            if value is not None:
                os.environ[option.variable] = value
                os.environ.pop(f"{option.variable}_FILE", None)
                given[option.variable] = option.flag
    return given
