"""Migrations run at start: once, however many start, and for every App."""

from __future__ import annotations

import threading

import pytest
from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from pytest_django import DjangoDbBlocker

from apps.accounts.models import SigningKey
from apps.queue.models import QueueControl
from apps.tenancy import lifecycle
from apps.tenancy.connection import connection, in_schema
from apps.tenancy.models import App
from tests.support.installation import Installation
from tests.support.starter import Starter

Rows = dict[str, list[tuple[str, str]]]


def applied() -> Rows:
    """The migrations that have been applied, by schema."""
    rows: Rows = {}
    for schema in ["public", *App.objects.values_list("schema_name", flat=True)]:
        with in_schema(schema, include_public=False):
            rows[schema] = list(MigrationRecorder(connection).migration_qs.values_list("app", "name"))
    return rows


def test_no_migration_is_missing(db: None) -> None:
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)


@pytest.mark.sampled("sqlite")
def test_processes_that_start_at_once_migrate_an_empty_database_once(
    empty_installation: Installation, starter: Starter, django_db_blocker: DjangoDbBlocker
) -> None:
    log = empty_installation.home / "migrate.log"
    processes = [empty_installation.fork(starter, "migrate", "-v0", log=log) for _ in range(5)]
    assert [process.wait(120) for process in processes] == [0] * 5, log.read_text()
    with django_db_blocker.unblock(), empty_installation.inside():
        rows = applied()
        assert (QueueControl.objects.count(), SigningKey.objects.count()) == (1, 1)
    assert set(rows) == {"public", "app_default"}
    assert all(len(of_schema) == len(set(of_schema)) for of_schema in rows.values()), "a migration ran twice"
    labels = {config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS}
    assert {app for app, _ in rows["app_default"]} == labels


@pytest.mark.sampled("postgresql")
def test_every_app_is_brought_up_to_date(
    installation: Installation, starter: Starter, django_db_blocker: DjangoDbBlocker
) -> None:
    log = installation.home / "migrate.log"
    with django_db_blocker.unblock(), installation.inside():
        lifecycle.create("acme", by="tests")
        App.objects.update(migrations="an older version")
        for schema in ("app_default", "app_acme"):
            with in_schema(schema, include_public=False):
                MigrationExecutor(connection).migrate([("tasks", None)])
                assert "tasks_task" not in connection.introspection.table_names()
        assert installation.fork(starter, "migrate", log=log).wait(60) == 0, log.read_text()
        after = applied()
    assert "acme" in log.read_text()
    assert all(("tasks", "0001_initial") in after[schema] for schema in ("app_default", "app_acme"))


@pytest.mark.django_db(transaction=True)
def test_where_nothing_is_to_be_done_nobody_waits_for_the_lock() -> None:
    locked, finished = threading.Event(), threading.Event()

    def hold() -> None:
        with connection.schemas.lock():
            locked.set()
            finished.wait(10)
        connections.close_all()

    thread = threading.Thread(target=hold)
    thread.start()
    assert locked.wait(10)
    lifecycle.migrate_all()
    assert thread.is_alive()
    finished.set()
    thread.join()


@pytest.mark.django_db(transaction=True)
def test_one_at_a_time_holds_the_lock() -> None:
    holders: list[int] = []
    most: list[int] = []

    def hold(number: int) -> None:
        with connection.schemas.lock(), connection.schemas.lock():  # its holder may take it again
            holders.append(number)
            most.append(len(holders))
            connection.schemas.exists("app_acme")
            holders.remove(number)
        connections.close_all()

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 8


def test_what_every_installation_has_is_there(db: None) -> None:
    assert App.objects.filter(name="default").exists()
    assert QueueControl.objects.get().paused is False
    assert SigningKey.objects.exists()
