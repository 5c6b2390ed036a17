"""The commands for people who use agents, on this machine or at an address: one code, for both go by the API.

With `--url` (HECTOR_URL) they ask that server, and load nothing of Hector's own. Without, they answer themselves, with
the settings and the database of this machine, as the platform operator, who is named by the name that the system has
for them. What is refused is one sentence on stderr and exit code 1.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hector.client import Client
from hector.client.errors import HectorError, ServerError
from hector.commands.screen import Screen
from hector_site.env import BadSetting
from hector_site.options import Parser

REFUSED = 1


@dataclass(frozen=True)
class Command:
    """What it takes beside the common options, and what it does; its exit code."""

    help: str
    takes: Callable[[Parser], None]
    run: Callable[[Client, Screen, argparse.Namespace], int]


def main(name: str, arguments: Sequence[str]) -> int:
    command = all_commands()[name]
    options = parser(name, command).parse_args(arguments)
    screen = Screen(as_json=options.json)
    try:
        with _connected(options) as client:
            return command.run(client, screen, options)
    except HectorError as error:
        screen.complain(_sentence(error, options))
        return REFUSED


def all_commands() -> dict[str, Command]:
    from hector.commands import entry_points, tasks

    return {**tasks.COMMANDS, **entry_points.COMMANDS}


def parser(name: str, command: Command) -> Parser:
    made = Parser(f"hector {name}", description=command.help, allow_abbrev=False)
    command.takes(made)
    common = made.add_argument_group("where")
    common.add_argument("--url", metavar="URL", default=os.environ.get("HECTOR_URL"), help="a server (this machine)")
    common.add_argument("--token", metavar="TOKEN", help="for that server; better as a variable: HECTOR_TOKEN")
    common.add_argument("--app", metavar="NAME", help="the App, for the operator (default); other tokens are of one")
    made.add_argument("--json", action="store_true", help="answers as the API does")
    return made


def _connected(options: argparse.Namespace) -> Client:
    if options.url:
        if not options.url.startswith(("http://", "https://")):
            raise BadSetting(f"--url is {options.url!r}: write http://… or https://…")
        return Client(options.url, options.token, app=options.app)
    return _on_this_machine(options.app)


def _on_this_machine(app: str | None) -> Client:
    os.environ.setdefault("HECTOR_LOG_LEVEL", "error")  # a line for each request is for servers
    import django

    try:
        django.setup()
    except OSError as error:
        raise BadSetting(f"HECTOR_HOME cannot be used: {error.strerror}: {error.filename}") from None
    from apps.accounts import shell
    from hector import local

    return local.client(shell.person(), app=app)


def _sentence(error: HectorError, options: argparse.Namespace) -> str:
    if isinstance(error, ServerError) and not options.url and not _is_migrated():
        return (
            "There is no installation here, or one of another version: `hector migrate` makes it or brings it up to "
            "date. --url names one elsewhere."
        )
    return str(error)


def _is_migrated() -> bool:
    from django.db import Error

    from apps.tenancy.migrate import Plan

    try:
        return Plan.of_code().shared_is_applied()
    except Error:
        return True  # it cannot be asked; then that is the fault


def interrupted(screen: Screen, task: str) -> None:
    """What a person who does not want to wait any longer should know."""
    screen.note(f"It goes on. `hector logs {task} -f` follows it.")
