"""`hector migrate`: every schema of the installation. With an app label or an option of Django's, Django's own."""

from __future__ import annotations

from typing import Any

from django.core.management.commands import migrate

from apps.tenancy import lifecycle


class Command(migrate.Command):
    help = "Brings the shared schema and every App's schema up to date. Safe to run from many processes at once."

    def handle(self, *args: Any, **options: Any) -> None:
        special = ("app_label", "fake", "fake_initial", "plan", "run_syncdb", "check_unapplied", "prune")
        if any(options.get(name) for name in special):
            super().handle(*args, **options)
        else:
            lifecycle.migrate_all(verbosity=options["verbosity"])
