"""The life of an App: made, changed, kept up to date, deleted.

An App is there when its row is: the row is written last and removed last, so whoever finds the row finds a complete
schema, and what a killed process leaves half done is finished or cleared away by another one. An operator's deletion
lets what runs stop first: `apps.queue.deletion`.
"""

from __future__ import annotations

import re
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q

from apps.accounts import audit, keys
from apps.tenancy import paths, template
from apps.tenancy.backends.common import refuse_switch
from apps.tenancy.connection import PUBLIC, connection, in_schema
from apps.tenancy.errors import AppExists, AppNotFound, AppProtected, BadAppName
from apps.tenancy.migrate import Plan, migrate_shared
from apps.tenancy.models import DEFAULT_APP, SLUG, App, Remains
from apps.tenancy.upgrade import bring_up_to_date

log = structlog.get_logger(__name__)


def schema_of(name: str) -> str:
    """The schema of the App of that name. No two names share one: a name has no `_`."""
    return "app_" + name.replace("-", "_")


def get(name: str) -> App:
    """Raises AppNotFound, also for an App that is being deleted."""
    app = find(name)
    if app.status == App.Status.DELETING:
        raise AppNotFound(name)
    return app


def find(name: str) -> App:
    """The App, also while it is being deleted: its schema may be gone. Raises AppNotFound."""
    # Asked for each request, so the statement is made once.
    with connection.shared_tables_only():
        found = list(App.objects.raw("SELECT * FROM tenancy_app WHERE name = %s", [name]))
    if not found:
        raise AppNotFound(name)
    return found[0]


def create(name: str, *, by: str, **settings: Any) -> App:
    """Makes an App with an empty, migrated schema, and settings by the names of its fields. A failure leaves nothing
    behind.

    Raises BadAppName, AppExists, SwitchInTransaction.
    """
    if not re.fullmatch(SLUG, name):
        raise BadAppName(name)
    app = App(name=name, schema_name=schema_of(name), **settings)
    refuse_switch(connection, app.schema_name)  # nor is one made inside a transaction: files know none
    with connection.schemas.lock():
        if App.objects.filter(name=name).exists():
            raise AppExists(name)
        connection.schemas.drop(app.schema_name)  # without a row it is what a killed process left behind
        try:
            app.migrations = template.copy_to(app.schema_name)
            app.save(force_insert=True)
        except BaseException:  # a signal that ends the process, too: nothing half made stays
            connection.schemas.drop(app.schema_name)
            raise
    log.info("app_created", app=name, by=by)
    return app


def change(app: App, *, by: str, reason: str = "", **settings: Any) -> App:
    """Changes settings of the App, by the names of its fields; the App as it is then.

    Raises AppNotFound if it is being deleted.
    """
    with transaction.atomic():
        found = App.objects.filter(pk=app.pk).exclude(status=App.Status.DELETING)
        if not (found.update(**settings) if settings else found.exists()):
            raise AppNotFound(app.name)
        if settings:
            audit.record("app_changed", by=by, app_name=app.name, reason=reason, **settings)
        return found.get()


def delete(app: App, *, by: str) -> None:
    """Deletes an App at once. What runs of it loses its lease. Raises AppProtected for `default`."""
    mark_for_deletion(app)
    remove(app)
    log.info("app_deleted", app=app.name, by=by)


def mark_for_deletion(app: App) -> bool:
    """From the transaction's commit on, nobody finds the App. False: it was marked already.

    Raises AppProtected for `default`.
    """
    if app.name == DEFAULT_APP:
        raise AppProtected(app.name)
    return App.objects.filter(pk=app.pk).exclude(status=App.Status.DELETING).update(status=App.Status.DELETING) > 0


def remove(app: App) -> None:
    """Drops all that there is of an App which is marked for deletion: tasks, events, secrets, queue entries, files.

    Each step can be repeated, so whoever finds a deletion that a killed process has left calls it again.
    """
    with in_schema(PUBLIC):
        with connection.schemas.lock():
            if App.objects.filter(pk=app.pk, status=App.Status.DELETING).exists():
                _remove_rows_of(app)
                connection.schemas.drop(app.schema_name)
                _remove_row(app)
        paths.remove(paths.remains())


def _remove_rows_of(app: App) -> None:
    """What other tables of the shared schema hold of the App, queue entries first of all: without them, no worker
    enters the App any more. A note is left for the hosts that have files of it."""
    with transaction.atomic():
        for relation in App._meta.related_objects:
            relation.related_model._base_manager.filter(**{relation.field.name: app}).delete()
        Remains.objects.get_or_create(directory=paths.directory_name(app))


def _remove_row(app: App) -> None:
    App.objects.filter(pk=app.pk).delete()


def migrate_all(*, verbosity: int = 0) -> None:
    """Brings every schema up to date and makes sure of the App `default`.

    Any number of processes may call it at once: one works, the others wait and find nothing left to do. If there is
    nothing to do at all, it costs a few queries, however many Apps there are. Raises AppsNotMigrated.
    """
    plan = Plan()
    if _is_current(plan):
        return
    with connection.schemas.lock():
        if not plan.shared_is_applied():
            migrate_shared(verbosity=verbosity)
            keys.pairs()  # makes the key that signs tokens: one, before replicas make one each
        if not App.objects.filter(name=DEFAULT_APP).exists():
            create(DEFAULT_APP, by="")
        bring_up_to_date(App.objects.filter(_unfinished(plan)), verbosity=verbosity)
        template.drop_others()


def _is_current(plan: Plan) -> bool:
    if not plan.shared_is_applied():
        return False
    return App.objects.filter(name=DEFAULT_APP).exists() and not App.objects.filter(_unfinished(plan)).exists()


def _unfinished(plan: Plan) -> Q:
    return ~Q(status=App.Status.DELETING) & ~Q(migrations=plan.digest)
