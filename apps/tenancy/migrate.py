"""Applies migrations: SHARED_APPS to the shared schema, TENANT_APPS to an App's.

`apps.tenancy.lifecycle` says when, and for which Apps.
"""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.commands import migrate as django_migrate
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from apps.tenancy.connection import PUBLIC, connection, in_schema


class Plan:
    """The migrations that the code knows: all of them for the shared schema, and a digest of those of an App.

    The digest is kept with the App, so a start need not open the schema of each.
    """

    def __init__(self, loader: MigrationLoader | None = None) -> None:
        loader = loader or MigrationLoader(None)
        self.shared = set(loader.graph.nodes)
        of_app = {node for leaf in _app_leaves(loader) for node in loader.graph.forwards_plan(leaf)}
        self.digest = sha256(repr(sorted(of_app)).encode()).hexdigest()

    @classmethod
    @cache
    def of_code(cls) -> Plan:
        """That of this process, whose code stays as it is."""
        return cls()

    def shared_is_applied(self) -> bool:
        with in_schema(PUBLIC):
            return self.shared <= MigrationRecorder(connection).applied_migrations().keys()


def migrate_shared(*, verbosity: int = 0) -> None:
    """Runs Django's own `migrate` in the shared schema."""
    with in_schema(PUBLIC):
        call_command(django_migrate.Command(), verbosity=verbosity, interactive=False)


def migrate_app(schema: str) -> str:
    """Applies what is missing in an App's schema, and returns the digest of what it has now.

    The shared schema is hidden meanwhile, so that it cannot be touched.
    """
    with in_schema(schema, include_public=False):
        executor = MigrationExecutor(connection)
        executor.migrate(_app_leaves(executor.loader))
        return Plan(executor.loader).digest


def _app_leaves(loader: MigrationLoader) -> list[tuple[str, str]]:
    labels = [config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS]
    return [node for label in labels for node in loader.graph.leaf_nodes(label)]
