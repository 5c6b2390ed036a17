"""What SQLite does with the files of Apps: in which order they commit, and what becomes of those that are deleted."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connections

from apps.tenancy.backends.sqlite import files
from apps.tenancy.connection import connection, in_schema
from apps.tenancy.errors import SchemaMissing
from tests.support import environment
from tests.support.installation import Installation

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(environment.SERVER is not None, reason="about files of SQLite"),
]

# Fills the shared file's WAL and not the App's, then forbids files longer than that: the commit that writes to both is
# killed (SIGXFSZ) when it reaches the shared one.
KILLED_IN_COMMIT = """
import os, resource, signal
from django.conf import settings
from django.db import connection, transaction
from apps.agents.models import Revision
from apps.queue.models import Worker
from apps.tenancy.context import in_app

def worker(host):
    Worker.objects.create(host=host, pid=1, version="1", slots=1)

for _ in range(50):
    worker("x" * 200)
with in_app("default"):
    Revision.objects.exists()
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    size = os.path.getsize(settings.DATABASES["default"]["NAME"] + "-wal")
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with transaction.atomic():
        worker("lost")
        Revision.objects.create(number=1, document={})
        print("committing", flush=True)
"""


@pytest.fixture
def schema() -> Iterator[str]:
    connection.schemas.create("app_file")
    yield "app_file"
    connection.schemas.drop("app_file")


def path(schema: str) -> Path:
    return files.path_of(connection.settings_dict["NAME"], schema)


def execute(sql: str) -> list[tuple[object, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def test_of_the_two_files_of_a_transaction_the_apps_is_committed_first(installation: Installation) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{KILLED_IN_COMMIT}"],
        env=installation.env | {"PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
    )
    assert (killed.stdout, killed.returncode) == ("committing\n", -signal.SIGXFSZ), killed.stderr
    shared = sqlite3.connect(installation.home / "hector.db")
    assert shared.execute("SELECT count(*) FROM queue_worker WHERE host = 'lost'").fetchone() == (0,)
    app = sqlite3.connect(files.path_of(str(installation.home / "hector.db"), "app_default"))
    assert app.execute("SELECT number FROM agents_revision").fetchall() == [(1,)]
    shared.close()
    app.close()


def test_connections_run_as_the_design_says(schema: str) -> None:
    with in_schema(schema):
        assert execute("PRAGMA main.journal_mode") == [("wal",)]
        assert execute("PRAGMA public.journal_mode") == [("wal",)]
        assert execute("PRAGMA main.synchronous") == execute("PRAGMA public.synchronous") == [(1,)]
        assert execute("PRAGMA foreign_keys") == [(1,)]
        assert execute("PRAGMA busy_timeout") == [(20_000,)]


def test_a_file_is_readable_by_its_owner_only(schema: str) -> None:
    assert path(schema).stat().st_mode & 0o077 == 0
    assert path(schema).parent.stat().st_mode & 0o077 == 0


def test_entering_an_app_whose_file_is_gone_does_not_make_an_empty_one() -> None:
    with in_schema("app_gone"), pytest.raises(SchemaMissing):
        execute("SELECT 1")
    assert not path("app_gone").exists()


def test_an_app_can_be_dropped_while_it_is_open_elsewhere_and_made_again(schema: str) -> None:
    elsewhere = connections.create_connection("default")
    elsewhere.set_schema(schema)
    with elsewhere.cursor() as cursor:
        cursor.execute("CREATE TABLE mine (name TEXT)")
        cursor.execute("INSERT INTO mine VALUES ('old')")
    connection.schemas.drop(schema)
    assert not list(path(schema).parent.glob(f"{schema}*"))

    elsewhere.set_schema(schema)
    with pytest.raises(SchemaMissing):
        elsewhere.cursor()

    connection.schemas.create(schema)
    with in_schema(schema):
        execute("CREATE TABLE mine (name TEXT)")
        execute("INSERT INTO mine VALUES ('new')")
    elsewhere.set_schema_to_public()
    elsewhere.set_schema(schema)
    with elsewhere.cursor() as cursor:
        cursor.execute("SELECT name FROM mine")
        assert cursor.fetchall() == [("new",)]
    elsewhere.close()


def test_closing_the_deleted_file_late_does_not_touch_its_successor(schema: str) -> None:
    late = sqlite3.connect(path(schema))
    late.execute("CREATE TABLE mine (name TEXT)")
    late.commit()
    connection.schemas.drop(schema)
    connection.schemas.create(schema)
    with in_schema(schema):
        execute("CREATE TABLE mine (name TEXT)")
        execute("INSERT INTO mine VALUES ('new')")
        late.close()
        assert path(schema).with_name(f"{schema}.db-wal").exists()
        reader = sqlite3.connect(path(schema))
        assert reader.execute("SELECT name FROM mine").fetchall() == [("new",)]
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        reader.close()


def test_closing_the_connection_closes_the_parked_ones_too(schema: str) -> None:
    with in_schema(schema):
        execute("CREATE TABLE mine (name TEXT)")
    with in_schema("app_acme"):
        execute("SELECT 1")
    connection.close()
    assert not path(schema).with_name(f"{schema}.db-wal").exists()  # the last one to close a file removes its WAL
