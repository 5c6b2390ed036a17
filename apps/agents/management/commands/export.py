"""`hector export`: prints the document that is in force."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from apps.agents.config.apply import export
from apps.agents.config.writing import as_yaml
from apps.agents.management.base import ConfigCommand
from apps.tenancy.models import DEFAULT_APP


class Command(ConfigCommand):
    help = "Prints an App's document as YAML. Secrets are references."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--app", metavar="NAME", default=DEFAULT_APP, help=f"the App ({DEFAULT_APP})")

    def handle(self, *, app: str, **options: Any) -> None:
        self.stdout.write(as_yaml(export(self.app(app))), ending="")
