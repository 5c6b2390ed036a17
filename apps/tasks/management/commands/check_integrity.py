"""`hector check_integrity`: are the invariants of tasks and queue entries true?"""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from apps.tasks import recovery
from apps.tasks.integrity import complaints
from apps.tenancy.models import App


class Command(BaseCommand):
    help = "Checks the invariants of tasks and their queue entries in every App; exit code 1 if one is broken."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--repair", action="store_true", help="first make queue entries agree with their tasks")

    def handle(self, *args: Any, **options: Any) -> None:
        faults = 0
        for app in App.objects.exclude(status=App.Status.DELETING):
            if options["repair"]:
                repairs = recovery.repair(app)
                self.stdout.write(
                    f"{app.name}: {repairs.enqueued} tasks queued again, {repairs.removed} entries removed"
                )
            for complaint in complaints(app):
                faults += 1
                self.stdout.write(f"{app.name}: {complaint}")
        if faults:
            raise SystemExit(1)
        self.stdout.write("Nothing is wrong.")
