"""`hector apply FILE`: puts a document in force as an App's configuration."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from apps.accounts.audit import COMMAND_LINE
from apps.agents.config.apply import apply, current
from apps.agents.config.references import secret_names
from apps.agents.management.base import ConfigCommand
from apps.tenancy import secrets
from apps.tenancy.models import DEFAULT_APP


class Command(ConfigCommand):
    help = "Applies a document to an App. What the document no longer names is removed."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", help="YAML or JSON; - is standard input")
        parser.add_argument("--app", metavar="NAME", default=DEFAULT_APP, help=f"the App ({DEFAULT_APP})")
        parser.add_argument("--comment", metavar="TEXT", default="", help="why, for the list of revisions")

    def handle(self, *, file: str, app: str, comment: str, **options: Any) -> None:
        document = self.read(file)
        target = self.app(app)
        before = current(target)
        after = apply(target, document, by=COMMAND_LINE, comment=comment, from_command_line=True)
        if before == after:
            self.stdout.write(f"Nothing to change: {app} is at revision {after.number}.")
        else:
            self.stdout.write(f"Applied to {app} as revision {after.number}.")
        if missing := secret_names(after.document) - set(secrets.names(target)):
            self.stdout.write(f"Secrets that {app} does not have yet: {', '.join(sorted(missing))}")
