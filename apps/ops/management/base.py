"""What the commands that do something to an App as a whole have in common."""

from __future__ import annotations

from django.core.management.base import CommandParser

from apps.agents.management.base import ConfigCommand


class AppVerbCommand(ConfigCommand):
    """Takes an App's name, and a reason that is kept."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the App")
        parser.add_argument("--reason", metavar="TEXT", default="", help="why; kept in the audit trail")
