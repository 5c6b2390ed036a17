"""`hector entry-points` and `trigger`: what starts work by itself or by a call, and starting it now."""

from __future__ import annotations

import argparse
import itertools

from hector.client import Client
from hector.client.entry_points import EntryPoint, Firing
from hector.commands import Command
from hector.commands.screen import Screen
from hector.commands.tasks import accepted, input_of, takes_input, takes_wait
from hector_site.options import Parser

FIRINGS = 20


def _takes_list(parser: Parser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="this one, and what it has started last")


def _list(client: Client, screen: Screen, options: argparse.Namespace) -> int:
    if options.name:
        return _one(client, screen, options.name)
    found = list(client.entry_points.list())
    if screen.as_json:
        screen.records(found)
    elif found:
        screen.table(("name", "type", "agent", "state", "running", "about"), (_row(one) for one in found))
    else:
        screen.note("There are no entry points.")
    return 0


def _row(one: EntryPoint) -> tuple[str, ...]:
    reason = f"paused by {one.paused_by}{f': {one.pause_reason}' if one.pause_reason else ''}" if one.paused_at else ""
    return one.id, one.type, one.agent, one.state, str(one.running), reason or one.description


def _one(client: Client, screen: Screen, name: str) -> int:
    one = client.entry_points.get(name)
    if screen.as_json:
        screen.record(one)
        return 0
    screen.table(("name", "type", "agent", "state", "running", "about"), [_row(one)])
    firings = list(itertools.islice(client.entry_points.firings(name, limit=FIRINGS), FIRINGS))
    if firings:
        screen.write("")
        screen.table(("at", "cause", "outcome", "task", "why"), (_firing(firing) for firing in firings))
    return 0


def _firing(one: Firing) -> tuple[str, ...]:
    return f"{one.at:%Y-%m-%d %H:%M:%S}", one.cause, one.outcome, one.task or "", one.reason


def _takes_trigger(parser: Parser) -> None:
    parser.add_argument("name", metavar="NAME", help="the entry point (hector entry-points lists them)")
    takes_input(parser)
    takes_wait(parser)


def _trigger(client: Client, screen: Screen, options: argparse.Namespace) -> int:
    return accepted(client, screen, client.entry_points.trigger(options.name, input_of(options)), options.wait)


COMMANDS = {
    "entry-points": Command("Lists what starts work; or one, with what it has started last.", _takes_list, _list),
    "trigger": Command("Starts an entry point's work now; prints the task's id.", _takes_trigger, _trigger),
}
