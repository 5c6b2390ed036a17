"""`hector resume_app`: lets a suspended App go on."""

from __future__ import annotations

from apps.accounts.audit import COMMAND_LINE
from apps.ops.management.base import AppVerbCommand
from apps.queue import suspension


class Command(AppVerbCommand):
    help = "Lets a suspended App go on: what waits starts in its order, and its API answers again."

    def handle(self, *, name: str, reason: str, **options: object) -> None:
        effect = suspension.resume(self.app(name), by=COMMAND_LINE, reason=reason)
        waiting = "1 waits" if effect.waiting == 1 else f"{effect.waiting:,} wait"
        self.stdout.write(f"The App {name} is active; {waiting} to be started.")
