"""The database of the test process: made once, put back into its first state after every test.

It has the Apps `default`, `acme` and `globex`. A test that does not need commits runs in a transaction that is rolled
back; after one that commits, all rows are deleted but those that migrations and this module have made.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.conf import settings
from django.db import connection, transaction

from apps.accounts import keys
from apps.quotas import rules
from apps.tenancy import lifecycle
from apps.tenancy.context import in_app
from apps.tenancy.models import DEFAULT_APP, App
from tests.support import environment
from tests.support.installation import drop_template, execute, make_template

APPS = (DEFAULT_APP, "acme", "globex")
KEPT = {"django_content_type", "auth_permission", "tenancy_app", "queue_queuecontrol", "accounts_signingkey"}


def setup() -> None:
    if environment.SERVER:
        execute(f'CREATE DATABASE "{environment.DATABASE}"')
    lifecycle.migrate_all()
    connection.close()
    make_template()
    for name in APPS[1:]:
        lifecycle.create(name, by="tests")
    keys.pairs()  # makes the one that signs tokens


def teardown() -> None:
    connection.close()
    if environment.SERVER:
        connection.close_pool()
        drop_template()
        execute(f'DROP DATABASE "{environment.DATABASE}" WITH (FORCE)')


@contextmanager
def rolled_back() -> Iterator[None]:
    """Runs a test in a transaction; what it leaves must satisfy the foreign keys, as at a commit."""
    atomic = transaction.atomic()
    atomic._from_testcase = True  # type: ignore[attr-defined]  # Django's TestCase: blocks may be durable inside
    with atomic:
        try:
            yield
            if not connection.needs_rollback and connection.is_usable():
                connection.check_constraints()
        finally:
            transaction.set_rollback(True)
            _forget()


def restore() -> None:
    """Undoes what a test has committed."""
    _forget()
    connection.set_schema_to_public()
    for app in App.objects.exclude(name__in=APPS):
        lifecycle.delete(app, by="tests")
    for name in APPS:
        with in_app(name):
            _empty(_tables(of_apps=True))
    _empty(_tables(of_apps=False) - KEPT)
    App.objects.update(
        status=App.Status.ACTIVE, weight=1, max_concurrent=None, display_name="", retention={}, limits={}
    )
    control = {"paused": False, "reason": "", "max_concurrent": None}
    apps.get_model("queue", "QueueControl").objects.update_or_create(id=1, defaults=control)


def _forget() -> None:
    """What a process keeps for a while: signing keys that were made in a test, and limits."""
    keys._read_at = float("-inf")
    rules.forget()


def _tables(*, of_apps: bool) -> set[str]:
    return {
        model._meta.db_table
        for config in apps.get_app_configs()
        if (config.name in settings.TENANT_APPS) == of_apps
        for model in config.get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    }


def _empty(tables: set[str]) -> None:
    """In one transaction, so in any order: foreign keys are checked at its end."""
    with transaction.atomic(), connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f'DELETE FROM "{table}"')
