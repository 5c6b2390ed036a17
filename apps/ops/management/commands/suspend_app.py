"""`hector suspend_app`: nothing of an App is started any more, and its API answers 403."""

from __future__ import annotations

from apps.accounts.audit import COMMAND_LINE
from apps.ops.management.base import AppVerbCommand
from apps.queue import suspension


class Command(AppVerbCommand):
    help = "Suspends an App: nothing of it is started any more, and its API answers 403. What runs goes on to its end."

    def handle(self, *, name: str, reason: str, **options: object) -> None:
        effect = suspension.suspend(self.app(name), by=COMMAND_LINE, reason=reason)
        self.stdout.write(f"The App {name} is suspended: {effect.sentence}")
