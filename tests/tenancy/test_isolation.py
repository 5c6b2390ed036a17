"""What both database backends promise alike: the schemas of Apps, the shared one behind them, and the way between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction

from apps.agents.models import Revision
from apps.queue.models import Worker
from apps.tenancy.connection import connection, in_schema
from apps.tenancy.context import in_app
from apps.tenancy.errors import AppNotFound, BadSchemaName, SchemaExists, SwitchInTransaction
from apps.tenancy.models import App, Secret

commits = pytest.mark.django_db(transaction=True)


def revise(number: int) -> Revision:
    return Revision.objects.create(number=number, document={})


def numbers() -> list[int]:
    return sorted(Revision.objects.values_list("number", flat=True))


@pytest.fixture
def bare_schema(transactional_db: None) -> Iterator[str]:
    """A schema without tables."""
    connection.schemas.create("app_bare")
    yield "app_bare"
    connection.schemas.drop("app_bare")


@commits
def test_tables_of_the_same_name_are_apart(other_app: App) -> None:
    with in_app("acme"):
        revise(1)
    with in_app(other_app):
        assert numbers() == []
        revise(2)
    with in_app("acme"):
        assert numbers() == [1]


@commits
def test_shared_tables_are_seen_from_every_app() -> None:
    worker = Worker.objects.create(host="h", pid=1, version="1", slots=1)
    for name in ("acme", "globex"):
        with in_app(name):
            assert Worker.objects.get() == worker


@commits
def test_tables_of_apps_are_not_seen_from_the_shared_schema() -> None:
    with pytest.raises(DatabaseError):
        Revision.objects.exists()


@commits
def test_without_the_shared_schema_its_tables_do_not_exist() -> None:
    with in_schema("app_acme", include_public=False):
        assert numbers() == []
        with pytest.raises(DatabaseError):
            Worker.objects.exists()


def test_a_new_table_is_made_in_the_app_also_where_the_shared_schema_has_one_of_its_name(bare_schema: str) -> None:
    with in_schema(bare_schema), connection.cursor() as cursor:
        cursor.execute("CREATE TABLE queue_worker (host TEXT)")
        cursor.execute("INSERT INTO queue_worker VALUES ('of the App')")
    assert not Worker.objects.exists()
    with in_schema(bare_schema), connection.cursor() as cursor:
        cursor.execute("SELECT host FROM queue_worker")
        assert cursor.fetchall() == [("of the App",)]


def test_introspection_sees_one_schema_only(bare_schema: str) -> None:
    with in_schema(bare_schema), connection.cursor() as cursor:
        assert connection.introspection.table_names(cursor) == []
    with in_app("acme"), connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        assert "tasks_task" in tables
        assert "queue_worker" not in tables
        assert connection.introspection.get_constraints(cursor, "agents_agent")
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        assert "queue_worker" in tables
        assert "tasks_task" not in tables


@commits
def test_introspection_does_not_describe_a_shared_table_from_an_app() -> None:
    with in_app("acme"), connection.cursor() as cursor:
        assert connection.introspection.get_table_description(cursor, "agents_agent")
        with pytest.raises(DatabaseError):
            connection.introspection.get_table_description(cursor, "queue_worker")


@commits
def test_a_rollback_undoes_both_schemas() -> None:
    with in_app("acme"):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            revise(1)
            Worker.objects.create(host="h", pid=1, version="1", slots=1)
            raise ZeroDivisionError
        assert numbers() == []
        assert not Worker.objects.exists()


@commits
def test_a_savepoint_undoes_both_schemas() -> None:
    with in_app("acme"), transaction.atomic():
        revise(1)
        with pytest.raises(IntegrityError), transaction.atomic():
            Worker.objects.create(host="h", pid=1, version="1", slots=1)
            revise(1)
        assert not Worker.objects.exists()
        revise(2)
    with in_app("acme"):
        assert numbers() == [1, 2]


@commits
def test_the_way_to_another_app_is_refused_in_a_transaction(other_app: App) -> None:
    with in_app("acme"):
        with transaction.atomic():
            revise(1)
            with pytest.raises(SwitchInTransaction), in_app(other_app):
                pass
            with pytest.raises(SwitchInTransaction):
                connection.set_tenant(other_app)
            with in_app("acme"):  # it stays where it is
                revise(2)
        assert numbers() == [1, 2]


@commits
def test_after_an_error_inside_the_connection_is_back_where_it_was() -> None:
    with pytest.raises(ZeroDivisionError), in_app("acme"):
        raise ZeroDivisionError
    assert connection.schema_name == "public"


@commits
def test_apps_can_be_entered_from_inside_one_another(other_app: App) -> None:
    with in_app("acme") as acme:
        revise(1)
        with in_app(other_app):
            revise(2)
        assert connection.tenant == acme
        assert numbers() == [1]


@commits
def test_an_app_that_does_not_exist_cannot_be_entered() -> None:
    with pytest.raises(AppNotFound), in_app("nobody"):
        pass


@commits
def test_the_search_path_survives_a_rollback_and_a_lost_connection() -> None:
    with in_app("acme"):
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            revise(1)
            raise ZeroDivisionError
        revise(2)
        connection.close()
        assert numbers() == [2]


@pytest.mark.parametrize("name", ["", "Acme", "1st", "a-b", 'a"b', "a;b", "a/b", "..", "a" * 64, "é", "a\n", "pg\x00"])
@commits
def test_a_schema_has_a_plain_name(name: str) -> None:
    for verb in (connection.schemas.create, connection.schemas.exists, connection.schemas.drop, connection.set_schema):
        with pytest.raises(BadSchemaName):
            verb(name)


@commits
def test_the_shared_schema_cannot_be_dropped() -> None:
    with pytest.raises(BadSchemaName):
        connection.schemas.drop("public")


def test_a_schema_is_made_once(bare_schema: str) -> None:
    assert connection.schemas.exists(bare_schema)
    with pytest.raises(SchemaExists):
        connection.schemas.create(bare_schema)
    connection.schemas.drop(bare_schema)
    connection.schemas.drop(bare_schema)
    assert not connection.schemas.exists(bare_schema)


@commits
def test_many_threads_are_each_in_their_own_app() -> None:
    names = ("acme", "globex")
    start = threading.Barrier(8)

    def work(thread: int) -> None:
        start.wait(timeout=10)
        for turn in range(10):
            with in_app(names[(thread + turn) % 2]), transaction.atomic():
                revise(thread * 100 + turn)
                Secret.objects.filter(name="nothing").update(ciphertext="")  # takes part in the shared schema too
        connections.close_all()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    for index, name in enumerate(names):
        with in_app(name):
            mine = [thread * 100 + turn for thread in range(8) for turn in range(10) if (thread + turn) % 2 == index]
            assert numbers() == mine
