"""`hector prune`: deletes what the Apps no longer keep, now; or says what that would be."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from apps.tasks import retention
from apps.tenancy import lifecycle
from apps.tenancy.errors import AppNotFound
from apps.tenancy.models import App


class Command(BaseCommand):
    help = "Deletes what the Apps no longer keep (HECTOR_RETENTION_…, or an App's own values)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--app", help="this App only (all of them)")
        parser.add_argument("--dry-run", action="store_true", help="only says what would go")

    def handle(self, *args: Any, **options: Any) -> None:
        for app in _apps(options["app"]):
            policy = retention.as_json(retention.policy_of(app), app.retention)
            kept = ", ".join(f"{name} {value}" for name, value in policy.items() if name != "own")
            self.stdout.write(f"{app.name} keeps: {kept}")
            counts = retention.prunable(app) if options["dry_run"] else retention.prune(app)
            verb = "would go" if options["dry_run"] else "deleted"
            for table, count in sorted(counts.items()):
                if count:
                    self.stdout.write(f"  {count:>10,} {table.partition('_')[2]} {verb}")
            if not any(counts.values()):
                self.stdout.write("  nothing to prune")


def _apps(name: str | None) -> list[App]:
    if name is None:
        return list(App.objects.exclude(status=App.Status.DELETING))
    try:
        return [lifecycle.get(name)]
    except AppNotFound:
        raise CommandError(f"there is no App {name}") from None
