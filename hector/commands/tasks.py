"""`hector run`, `tasks` and `logs`: submitting work, looking at it, following it."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from typing import Any

from hector.client import Client
from hector.client.errors import NotFinished
from hector.client.tasks import Event, Task
from hector.commands import REFUSED, Command, interrupted
from hector.commands.screen import STYLES, Screen, short
from hector_site.options import Parser

LISTED = 20
PATIENCE = 5.0  # seconds until a person would like to know why nothing happens
LOOK = 0.5  # seconds between looks whether a task waits for a person
_EVENT_STYLES = {
    "execution_completed": "green",
    "execution_failed": "red",
    "dead_lettered": "red",
    "approval_requested": "yellow",
    "retry_scheduled": "yellow",
}


def takes_input(parser: Parser) -> None:
    parser.add_argument("text", nargs="?", metavar="TEXT", help="what to do; - reads it from stdin")
    parser.add_argument("--input", metavar="JSON", type=json_object, help="an object, in the place of TEXT")


def takes_wait(parser: Parser) -> None:
    parser.add_argument(
        "--wait", metavar="SECONDS", nargs="?", type=float, const=float("inf"), help="wait for the end, and print it"
    )


def input_of(options: argparse.Namespace) -> Any:
    """None if nothing was given. Raises BadSetting for both a text and an object."""
    from hector_site.env import BadSetting

    if options.text is not None and options.input is not None:
        raise BadSetting("give TEXT or --input, not both")
    return sys.stdin.read() if options.text == "-" else options.text if options.text is not None else options.input


def json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("it is no JSON object")
    return value


def _takes_run(parser: Parser) -> None:
    parser.add_argument("agent", metavar="AGENT")
    takes_input(parser)
    takes_wait(parser)
    parser.add_argument("--session", metavar="TEXT", help="a label to find tasks by")
    parser.add_argument("--priority", metavar="N", type=int, help="-100 to 100; the higher, the sooner (0)")
    parser.add_argument("--tag", metavar="TEXT", action="append", help="may be given several times")


def _run(client: Client, screen: Screen, options: argparse.Namespace) -> int:
    value = input_of(options)
    task = client.tasks.submit(
        options.agent,
        "" if value is None else value,
        session=options.session,
        priority=options.priority,
        tags=options.tag,
    )
    return accepted(client, screen, task, options.wait)


def accepted(client: Client, screen: Screen, task: Task, wait: float | None) -> int:
    """Tells of a task that was accepted, and of its end if somebody waits for that."""
    if wait is None:
        if screen.as_json:
            screen.record(task)
        else:
            screen.write(task.id)
            screen.note(f"Accepted. `hector logs {task.id} -f` follows it.")
        return 0
    try:
        task = _ended(client, screen, task, wait)
    except KeyboardInterrupt:
        interrupted(screen, task.id)
        raise
    if screen.as_json:
        screen.record(task)
    elif task.status == "completed":
        screen.value(task.output)
    if task.status == "completed":
        return 0
    screen.complain(f"The task {task.id} is {task.status}{f': {task.error.message}' if task.error else '.'}")
    return REFUSED


def _ended(client: Client, screen: Screen, task: Task, wait: float) -> Task:
    """Waits, and says when the task waits for a person. Raises NotFinished."""
    begun = time.monotonic()
    deadline, patience = begun + wait, begun + PATIENCE
    asked: set[str] = set()
    with screen.waiting(f"{task.agent} …"):
        while not task.ended:
            for approval in task.approvals:
                if approval.id not in asked:
                    asked.add(approval.id)
                    screen.note(f"It waits for a person: {approval.prompt} (`hector approve {approval.id}`)")
            if task.status == "pending" and task.next_attempt_at is None and time.monotonic() > patience:
                patience = float("inf")
                screen.note("No worker has taken it yet: does one run (`hector worker`)?")
            left = deadline - time.monotonic()
            if left <= 0:
                raise NotFinished(task.id, task.status, wait)
            try:
                task = client.tasks.wait(task.id, min(left, LOOK))
            except NotFinished:
                task = client.tasks.get(task.id)
    return task


def _takes_list(parser: Parser) -> None:
    parser.add_argument("--status", action="append", choices=[status for status in STYLES if status not in _HOLDS])
    parser.add_argument("--agent", metavar="NAME")
    parser.add_argument("--session", metavar="TEXT")
    parser.add_argument("--tag", metavar="TEXT")
    parser.add_argument("--entry-point", metavar="NAME")
    parser.add_argument("-q", metavar="TEXT", help="what stands in the input or the output; or an id")
    parser.add_argument("--limit", metavar="N", type=int, default=LISTED, help=f"how many at most ({LISTED})")


_HOLDS = ("paused", "active")


def _list(client: Client, screen: Screen, options: argparse.Namespace) -> int:
    found = client.tasks.list(
        status=options.status,
        agent=options.agent,
        session=options.session,
        tag=options.tag,
        entry_point=options.entry_point,
        q=options.q,
        limit=max(1, min(options.limit, 200)),
    )
    tasks = list(itertools.islice(found, max(0, options.limit)))
    if screen.as_json:
        screen.records(tasks)
    elif tasks:
        screen.table(("id", "agent", "status", "created", "input"), (_row(task) for task in tasks))
    else:
        screen.note("There are no such tasks.")
    return 0


def _row(task: Task) -> tuple[str, ...]:
    text = task.input.get("text") if isinstance(task.input, dict) else None
    about = short(text if isinstance(text, str) else task.input)
    return task.id, task.agent, task.status, f"{task.created_at:%m-%d %H:%M}", about[:60]


def _takes_logs(parser: Parser) -> None:
    parser.add_argument("id", metavar="ID", help="the task (hector tasks lists them)")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the task has ended")


def _logs(client: Client, screen: Screen, options: argparse.Namespace) -> int:
    for event in client.tasks.follow(options.id) if options.follow else client.tasks.events(options.id):
        if screen.as_json:
            screen.line(event)
        else:
            screen.write(_line(event), _EVENT_STYLES.get(event.type, ""))
    return 0


def _line(event: Event) -> str:
    details = " ".join(f"{name}={short(value)}" for name, value in event.payload.items() if value not in (None, ""))
    return f"{event.at:%H:%M:%S} {event.type:<22} {details}{f' by {event.actor}' if event.actor else ''}".rstrip()


COMMANDS = {
    "run": Command("Submits a task; prints its id, or with --wait its result.", _takes_run, _run),
    "tasks": Command("Lists tasks, the newest first.", _takes_list, _list),
    "logs": Command("Prints what happened to a task; with -f what happens, until it has ended.", _takes_logs, _logs),
}
