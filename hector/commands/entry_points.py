"""`hector entry-points`, `trigger` and `timers`: what starts work by itself or by a call, and starting it now."""

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
    about = one.description
    if one.paused_at:
        about = f"paused by {one.paused_by}{f': {one.pause_reason}' if one.pause_reason else ''}"
    elif one.next_runs:
        about = f"next {one.next_runs[0]:%Y-%m-%d %H:%M:%S} {about}"
    return one.id, one.type, one.agent, one.state, str(one.running), about


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


def _takes_timers(parser: Parser) -> None:
    parser.add_argument("what", choices=("pause", "resume"))
    parser.add_argument("names", nargs="*", metavar="NAME", help="these entry points; none: all timers of the App")
    parser.add_argument("--reason", metavar="TEXT", help="why; kept in the audit trail")


def _timers(client: Client, screen: Screen, options: argparse.Namespace) -> int:
    points, reason = client.entry_points, options.reason
    if options.names:
        act = points.pause if options.what == "pause" else points.resume
        changed = [act(name, reason=reason) for name in options.names]
        if screen.as_json:
            screen.records(changed)
        for one in () if screen.as_json else changed:
            screen.write(f"{one.id} is {one.state}.")
        return 0
    timers = points.pause_timers(reason=reason) if options.what == "pause" else points.resume_timers(reason=reason)
    if screen.as_json:
        screen.record(timers)
    else:
        screen.write(f"All timers ({timers.timers}) are {'paused' if timers.paused else 'resumed'}.")
    return 0


COMMANDS = {
    "entry-points": Command("Lists what starts work; or one, with what it has started last.", _takes_list, _list),
    "timers": Command(
        "Pauses or resumes all timers, or some; what is left out meanwhile is not made up for.", _takes_timers, _timers
    ),
    "trigger": Command("Starts an entry point's work now; prints the task's id.", _takes_trigger, _trigger),
}
