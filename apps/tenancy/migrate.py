"""Applies migrations: SHARED_APPS to the shared schema, TENANT_APPS to an App's.

`apps.tenancy.lifecycle` says when, and for which Apps.
"""

from __future__ import annotations

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.commands import migrate as django_migrate
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from apps.tenancy.connection import PUBLIC, connection, in_schema


class Plan:
    """The migrations that the code knows, to be compared with those that a schema has.

    Reading them is the costly part, so it is done once for all schemas.
    """

    def __init__(self) -> None:
        loader = MigrationLoader(None)
        self.shared = set(loader.graph.nodes)
        self.app = {node for leaf in _app_leaves(loader) for node in loader.graph.forwards_plan(leaf)}

    def is_applied(self, schema: str) -> bool:
        wanted = self.shared if schema == PUBLIC else self.app
        with in_schema(schema, include_public=False):
            return wanted <= MigrationRecorder(connection).applied_migrations().keys()


def migrate_shared(*, verbosity: int = 0) -> None:
    """Runs Django's own `migrate` in the shared schema."""
    with in_schema(PUBLIC):
        call_command(django_migrate.Command(), verbosity=verbosity, interactive=False)


def migrate_app(schema: str) -> None:
    """Applies what is missing in an App's schema. The shared one is hidden meanwhile, so that it cannot be touched."""
    with in_schema(schema, include_public=False):
        executor = MigrationExecutor(connection)
        executor.migrate(_app_leaves(executor.loader))


def _app_leaves(loader: MigrationLoader) -> list[tuple[str, str]]:
    labels = [config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS]
    return [node for label in labels for node in loader.graph.leaf_nodes(label)]
