"""`hector export_app`: writes a suspended App into a file, which `import_app` reads in another installation."""

from __future__ import annotations

import os
from pathlib import Path

from django.core.management.base import CommandParser

from apps.accounts.audit import COMMAND_LINE
from apps.agents.management.base import ConfigCommand
from apps.ops import archive


class Command(ConfigCommand):
    help = "Writes a suspended App into a file: everything but the values of secrets, tokens, roles and tools' files."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the App")
        parser.add_argument("--output", metavar="FILE", default="", help="the file to make (NAME.hector)")

    def handle(self, *, name: str, output: str, **options: object) -> None:
        app, path = self.app(name), Path(output or f"{name}.hector")
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # it has all that its tasks were given
        except OSError as error:
            self.leave(f"{path} cannot be made: {error.strerror}.", code=2)
        try:
            with os.fdopen(handle, "wb") as file:
                rows = archive.export(app, file, by=COMMAND_LINE)
                file.flush()
                os.fsync(handle)
        except BaseException:  # a signal, too: what is there is whole
            path.unlink()
            raise
        self.stdout.write(f"The App {name} is in {path}: {rows} rows.")
