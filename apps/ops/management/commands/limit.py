"""`hector limit`: how many tasks the installation runs at a time, on all hosts together."""

from __future__ import annotations

from django.core.management.base import CommandParser

from apps.accounts.audit import COMMAND_LINE
from apps.agents.management.base import ConfigCommand
from apps.queue import control
from apps.tenancy import lifecycle


class Command(ConfigCommand):
    help = "Says how many tasks the installation runs at a time, on all hosts together; or changes it, at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("most", metavar="NUMBER", nargs="?", help="so many from now on; `none`: as many as fit")
        parser.add_argument("--reason", metavar="TEXT", default="", help="why; kept in the audit trail")

    def handle(self, *, most: str | None, reason: str, **options: object) -> None:
        lifecycle.migrate_all()
        if most is not None:
            control.limit(self._number(most), by=COMMAND_LINE, reason=reason)
        found = control.status()
        limit = (
            "as many tasks at a time as fit" if found.max_concurrent is None else f"{found.max_concurrent} at a time"
        )
        self.stdout.write(f"The installation runs {limit}; {found.running} are running.")

    def _number(self, most: str) -> int | None:
        if most == "none":
            return None
        if not most.isdecimal() or not 1 <= int(most) < 2**31:
            self.leave(f"{most} is no number of tasks: write 1 or more, or none.", code=2)
        return int(most)
