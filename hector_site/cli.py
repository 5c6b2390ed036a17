"""The `hector` command: Django's command line with the product's own commands in front.

Flags become `HECTOR_…` variables before the settings are read (see `hector_site.options`). What a user got wrong is
one sentence on stderr and exit code 2.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hector_site import VERSION, options
from hector_site.env import BadSetting
from hector_site.orphans import end_with_parent

NOTE = (
    "Every option is also an environment variable: --queue-workers is HECTOR_QUEUE_WORKERS. State lives in HECTOR_HOME "
    "(.hector)."
)


@dataclass(frozen=True)
class Command:
    """A command of the product. One that takes no arguments of its own has all of its options in `groups`."""

    summary: str
    groups: tuple[options.Group, ...] = (options.COMMON,)
    own_arguments: bool = False  # Django's parser reads what the groups leave


RUN = {
    "serve": Command(
        "everything on this machine: migrates, then runs the web server and the workers",
        (options.CONFIG, options.ADDRESS, options.COMMON, options.QUEUE),
    ),
    "web": Command("the web server alone", (options.ADDRESS, options.COMMON, options.QUEUE)),
    "worker": Command("a host's workers alone", (options.COMMON, options.QUEUE)),
}
CONFIGURE = {
    "init": Command("writes a hector.yaml to start from", own_arguments=True),
    "validate": Command("checks a document and names every fault", own_arguments=True),
    "apply": Command("applies a document to an App", own_arguments=True),
    "export": Command("prints an App's document", own_arguments=True),
}
MAINTAIN = {
    "migrate": Command("brings the database up to date, every App of it", own_arguments=True),
    "prune": Command("deletes what is no longer kept, or says what that would be", own_arguments=True),
    "version": Command("prints the version", groups=()),
}
COMMANDS = RUN | CONFIGURE | MAINTAIN


def main(arguments: Sequence[str] | None = None) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hector_site.settings")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last: one's own handlers are found, and shadow nothing
    name, *rest = _normalised(list(sys.argv[1:] if arguments is None else arguments))
    given: dict[str, str] = {}
    try:
        end_with_parent()
        os.environ["HECTOR_ROLE"] = name
        if name == "--help":
            print(help_text())
            return 0
        command = COMMANDS.get(name)
        if command is None:
            return _run(name, rest)
        given, rest = _take_options(name, command, rest)
        if name == "version":  # Django's own would tell Django's
            print(VERSION)
            return 0
        code = _run(name, rest)
        if command.own_arguments and {"-h", "--help"} & set(rest):
            print("\n" + _common_help())
        return code
    except BadSetting as error:
        print(f"hector: {_with_flags(str(error), given)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _normalised(arguments: list[str]) -> list[str]:
    """`--help` for no command at all, and the usual spellings of help and version."""
    match arguments:
        case [] | ["-h" | "--help", *_]:
            return ["--help"]
        case ["-V" | "--version", *_]:
            return ["version"]
        case ["help", name, *_] if name in COMMANDS:
            return [name, "--help"]
    return arguments


def _take_options(name: str, command: Command, arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """Sets the options' variables; the arguments that are left are the Django command's own."""
    parser = options.parser(
        f"hector {name}",
        command.groups,
        description=f"hector {name}: {command.summary}.",
        epilog=NOTE,
        add_help=not command.own_arguments,
    )
    if command.own_arguments:
        namespace, rest = parser.parse_known_args(arguments)
    else:
        namespace, rest = parser.parse_args(arguments), []
    return options.into_environment(namespace, command.groups), rest


def _run(name: str, arguments: list[str]) -> int:
    import django
    from django.core.management import ManagementUtility, get_commands

    try:
        django.setup()
    except OSError as error:
        raise BadSetting(f"HECTOR_HOME cannot be used: {error.strerror}: {error.filename}") from None
    if name not in get_commands() and name != "help":
        raise BadSetting(f"there is no command {name!r} (see `hector --help`)")
    try:
        ManagementUtility(["hector", name, *arguments]).execute()
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1
    return 0


def _common_help() -> str:
    """The options that every command of the product takes beside its own."""
    text = options.parser("", (options.COMMON,), add_help=False).format_help()
    return text.split("\n\n", 1)[1].rstrip()


def _with_flags(text: str, given: dict[str, str]) -> str:
    """The complaint about a variable, naming the flag where a flag set it."""
    for variable, flag in given.items():
        if re.match(rf"{variable}\b", text):
            return text.replace(variable, flag, 1)
    return text


def help_text() -> str:
    lines = ["usage: hector COMMAND [options]", "", "Hector runs AI agents' work as durable tasks.", ""]
    for title, commands in (("Run", RUN), ("Configure", CONFIGURE), ("Maintain", MAINTAIN)):
        lines += [f"{title}:", *(f"  {name:<10}{command.summary}" for name, command in commands.items()), ""]
    lines += [
        "`hector COMMAND --help` says more. `hector help` lists Django's own commands, which work here too.",
        NOTE,
    ]
    return "\n".join(lines)
