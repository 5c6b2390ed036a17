"""`hector import_app`: makes an App of a file that `export_app` has written, in this installation or another one."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import CommandParser

from apps.accounts.audit import COMMAND_LINE
from apps.agents.management.base import ConfigCommand
from apps.ops import archive
from apps.tenancy import lifecycle


class Command(ConfigCommand):
    help = "Makes a suspended App of a file that export_app has written."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="the file")
        parser.add_argument("--name", metavar="NAME", default="", help="another name for the App")

    def handle(self, *, file: str, name: str, **options: object) -> None:
        lifecycle.migrate_all()
        try:
            with Path(file).open("rb") as opened:
                made = archive.restore(opened, by=COMMAND_LINE, name=name)
        except OSError as error:
            self.leave(f"{file} cannot be read: {error.strerror}.", code=2)
        self.stdout.write(f"The App {made.app.name} is here with {made.rows} rows, and suspended.")
        if made.secrets:
            self.stdout.write(f"Set its secrets: {', '.join(made.secrets)}.")
        self.stdout.write(f"Then let it go on: hector resume_app {made.app.name}")
