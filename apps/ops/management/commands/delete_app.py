"""`hector delete_app`: drops an App with all that is in it, for good."""

from __future__ import annotations

from django.core.management.base import CommandParser

from apps.accounts.audit import COMMAND_LINE
from apps.ops.management.base import AppVerbCommand
from apps.queue import deletion


class Command(AppVerbCommand):
    help = "Deletes an App for good: stops what runs of it, then drops its tasks, secrets, tokens and files."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *, name: str, reason: str, yes: bool, **options: object) -> None:
        app = self.app(name)
        if not yes and input(f"Nothing brings the App {name} back. Write its name to delete it: ") != name:
            self.leave("Nothing was deleted.")
        if not deletion.delete(app, by=COMMAND_LINE, reason=reason):
            self.stdout.write("Waiting for what runs to stop.")
            deletion.finish(app.pk)
        self.stdout.write(f"The App {name} is deleted.")
