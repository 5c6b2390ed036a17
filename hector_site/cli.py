"""The `hector` command: what Hector can do from a command line, and nothing else.

Flags become `HECTOR_…` variables before the settings are read (see `hector_site.options`). What a user got wrong is
one sentence on stderr and exit code 2. Every command stands in a list here: of those of Django and the libraries only
the ones that keep Hector's rules, for there are some that would write past Apps, queue and migrations.
"""

from __future__ import annotations

import gc
import os
import re
import select
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
READER_GONE = 141  # as a shell tells of a program that SIGPIPE has ended


@dataclass(frozen=True)
class Command:
    """A command of the product. One that takes no arguments of its own has all of its options in `groups`."""

    summary: str
    groups: tuple[options.Group, ...] = (options.COMMON,)
    own_arguments: bool = False  # Django's parser reads what the groups leave …
    by_api: bool = False  # … or that of `hector.commands`


def _django(summary: str) -> Command:
    return Command(summary, own_arguments=True)


def _by_api(summary: str) -> Command:
    return Command(summary, own_arguments=True, by_api=True)


RUN = {
    "serve": Command(
        "everything on this machine: migrates, then runs the web server and the workers",
        (options.CONFIG, options.ADDRESS, options.ISSUER, options.COMMON, options.QUEUE),
    ),
    "web": Command("the web server alone", (options.ADDRESS, options.ISSUER, options.COMMON, options.QUEUE)),
    "worker": Command("a host's workers alone", (options.COMMON, options.QUEUE)),
}
USE = {
    "run": _by_api("submits a task, and waits for its result if asked to"),
    "tasks": _by_api("lists tasks"),
    "logs": _by_api("prints what happened to a task, and what happens"),
    "entry-points": _by_api("lists what starts work, and what it has started"),
    "trigger": _by_api("starts an entry point's work now"),
    "timers": _by_api("pauses or resumes all timers, or some"),
}
CONFIGURE = {
    "init": _django("writes a hector.yaml to start from"),
    "validate": _django("checks a document and names every fault"),
    "apply": _django("applies a document to an App"),
    "export": _django("prints an App's document"),
}
DECIDE = {
    "approvals": _django("lists what waits for people"),
    "approve": _django("approves a call, answers a question, raises a limit"),
    "reject": _django("rejects what waits for people"),
    "grants": _django("lists what runs without asking"),
    "revoke": _django("revokes a grant"),
}
MAINTAIN = {
    "migrate": _django("brings the database up to date, every App of it"),
    "check_integrity": _django("checks tasks and queue, and repairs them if asked to"),
    "suspend_app": _django("starts nothing of an App any more, and closes its API"),
    "resume_app": _django("lets a suspended App go on"),
    "delete_app": _django("deletes an App with all that is in it"),
    "limit_app": _django("says what an App may use in a window of time, or changes it"),
    "limit": _django("says how many tasks the installation runs at a time, or changes it"),
    "export_app": _django("writes a suspended App into a file"),
    "import_app": _django("makes an App of such a file, here or elsewhere"),
    "prune": _django("deletes what is no longer kept, or says what that would be"),
    "keys": _django("lists the keys that sign tokens, or makes a new one"),
    "secrets": _django("encrypts secrets anew, with the first of HECTOR_ENCRYPTION_KEYS"),
    "createsuperuser": _django("makes a platform operator, who may log in to the console"),
    "changepassword": _django("gives somebody a new password"),
    "clearsessions": _django("forgets logins to the console that have expired"),
    "version": Command("prints the version", groups=()),
}
INSPECT = {
    "check": _django("looks for faults of the settings and the code"),
    "shell": _django("Python, with the models at hand"),
    "dbshell": _django("the database's own command line"),
    "openapi": _django("prints the description of the HTTP API"),
    "makemigrations": _django("writes migrations for changed models"),
    "showmigrations": _django("lists the migrations of the shared schema"),
    "sqlmigrate": _django("prints the SQL of a migration"),
}
GROUPS = {
    "Run": RUN,
    "Use agents, here or at --url": USE,
    "Configure": CONFIGURE,
    "Decide": DECIDE,
    "Maintain": MAINTAIN,
    "Look inside and develop": INSPECT,
}
COMMANDS = {name: command for group in GROUPS.values() for name, command in group.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; its exit code. Who stops reading its output (`| head`) ends it without a complaint."""
    try:
        code = _main(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        if not _reader_is_gone():
            raise
        return READER_GONE


def _main(arguments: list[str]) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hector_site.settings")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # last: one's own handlers are found, and shadow nothing
    name, *rest = _normalised(arguments)
    given: dict[str, str] = {}
    try:
        end_with_parent()
        os.environ["HECTOR_ROLE"] = name
        if name == "--help":
            print(help_text())
            return 0
        command = COMMANDS.get(name)
        if command is None:
            raise BadSetting(f"there is no command {name!r} (see `hector --help`)")
        given, rest = _take_options(name, command, rest)
        if name == "version":  # Django's own would tell Django's
            print(VERSION)
            return 0
        code = _use(name, rest) if command.by_api else _run(name, rest)
        if command.own_arguments and {"-h", "--help"} & set(rest):
            print("\n" + _common_help())
        return code
    except BadSetting as error:
        print(f"hector: {_with_flags(str(error), given)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0 if leaving.code is None else 1


def _reader_is_gone() -> bool:
    """Whether it was the output that broke; what is left of it is dropped then."""
    output = select.poll()
    output.register(sys.stdout.fileno(), 0)  # errors are told unasked, and a pipe that nobody reads is one
    if not output.poll(0):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _normalised(arguments: list[str]) -> list[str]:
    """`--help` for no command at all, and the usual spellings of help and version."""
    match arguments:
        case [] | ["-h" | "--help", *_] | ["help"]:
            return ["--help"]
        case ["-V" | "--version", *_]:
            return ["version"]
        case ["help", name, *_]:
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


def _use(name: str, arguments: list[str]) -> int:
    from hector import commands

    return commands.main(name, arguments)


def _run(name: str, arguments: list[str]) -> int:
    import django
    from django.core.management import ManagementUtility

    gc.set_threshold(10_000)  # with Python's 700, a tenth of a start goes into looking for garbage in what is imported
    try:
        django.setup()
    except OSError as error:
        raise BadSetting(f"HECTOR_HOME cannot be used: {error.strerror}: {error.filename}") from None
    ManagementUtility(["hector", name, *arguments]).execute()
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
    for title, commands in GROUPS.items():
        lines += [f"{title}:", *(f"  {name:<17}{command.summary}" for name, command in commands.items()), ""]
    return "\n".join([*lines, "`hector COMMAND --help` says more.", NOTE])
