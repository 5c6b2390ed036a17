"""`hector init`: writes a commented document to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from apps.agents.management.base import ConfigCommand


class Command(ConfigCommand):
    help = "Writes a commented hector.yaml to start from; an existing file is left alone."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default="hector.yaml", help="where to write it (hector.yaml)")

    def handle(self, *, file: str, **options: Any) -> None:
        starter = files("apps.agents.management").joinpath("starter.yaml").read_text(encoding="utf-8")
        try:
            with Path(file).open("x", encoding="utf-8") as target:
                target.write(starter)
        except FileExistsError:
            self.leave(f"{file} is there already and was left as it is.")
        except OSError as error:
            self.leave(f"{file} cannot be written: {error.strerror}.", code=2)
        self.stdout.write(f"Wrote {file}. Next: hector serve --config {file}")
