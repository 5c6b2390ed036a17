"""Applies migrations: SHARED_APPS to the shared schema, TENANT_APPS to an App's.

`apps.tenancy.lifecycle` says when, and for which Apps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from threading import Lock

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.commands import migrate as django_migrate
from django.db import transaction
from django.db.migrations import Migration
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState

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


@dataclass(frozen=True)
class Step:
    """A migration, and what the models look like before and after each of its operations."""

    migration: Migration
    operations: list[tuple[Operation, ProjectState, ProjectState]]

    def apply(self, recorder: MigrationRecorder) -> None:
        """As Django's executor does, to which the states are of one schema only."""
        with connection.schema_editor(atomic=self.migration.atomic) as editor:
            for operation, before, after in self.operations:
                own = operation.atomic and not editor.atomic_migration
                with transaction.atomic() if own else nullcontext():
                    operation.database_forwards(self.migration.app_label, editor, before, after)
        recorder.record_applied(self.migration.app_label, self.migration.name)


class AppMigrations:
    """Brings Apps' schemas up to date, in any number of threads.

    Django spends most of its time on working out what the models look like. That is the same for all schemas which have
    the same migrations, so it is done once for these.
    """

    def __init__(self) -> None:
        self.digest = Plan().digest
        self._steps: dict[frozenset[tuple[str, str]], list[Step]] = {}
        self._working_out = Lock()

    def apply(self, schema: str) -> None:
        """Applies what is missing. The shared schema is hidden meanwhile, so that it cannot be touched."""
        with in_schema(schema, include_public=False):
            recorder = MigrationRecorder(connection)
            recorder.ensure_schema()
            for step in self._missing(frozenset(recorder.applied_migrations())):
                step.apply(recorder)

    def _missing(self, applied: frozenset[tuple[str, str]]) -> list[Step]:
        with self._working_out:
            if applied not in self._steps:
                self._steps[applied] = list(_steps(MigrationExecutor(connection)))
            return self._steps[applied]


def _steps(executor: MigrationExecutor) -> Iterator[Step]:
    """What the schema lacks that the executor is about."""
    state = executor._create_project_state(with_applied_migrations=True)  # type: ignore[attr-defined]
    for migration, _ in executor.migration_plan(_app_leaves(executor.loader)):
        assert not migration.replaces, "a squashed migration is recorded in another way"
        operations = []
        for operation in migration.operations:
            before, state = state, state.clone()
            operation.state_forwards(migration.app_label, state)
            assert before.apps and state.apps  # rendered here, and not in several threads at once
            operations.append((operation, before, state))
        yield Step(migration, operations)


def migrate_app(schema: str) -> str:
    """Applies what is missing in one App's schema, and returns the digest of what it has now."""
    migrations = AppMigrations()
    migrations.apply(schema)
    return migrations.digest


def _app_leaves(loader: MigrationLoader) -> list[tuple[str, str]]:
    labels = [config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS]
    return [node for label in labels for node in loader.graph.leaf_nodes(label)]
