"""`hector validate FILE`: checks a document without applying it."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from apps.agents.config.checks import validate
from apps.agents.management.base import ConfigCommand


class Command(ConfigCommand):
    help = "Checks an App's document. Each fault is one line: its JSON pointer and a sentence."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="YAML or JSON; - is standard input")

    def handle(self, *, file: str, **options: Any) -> None:
        document = validate(self.read(file), allow_env=True)
        counts = f"agents {len(document.agents)}, tools {len(document.tools)}, llms {len(document.llms)}"
        self.stdout.write(f"{file} is valid: {counts}.")
