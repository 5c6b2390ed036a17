"""A new App is a copy of the template, and the same in every respect as one whose migrations ran."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.conf import settings
from django.db.migrations.executor import MigrationExecutor

from apps.tenancy import lifecycle, template
from apps.tenancy.backends.postgresql import clone
from apps.tenancy.connection import connection, in_schema
from apps.tenancy.errors import SchemaExists
from apps.tenancy.migrate import Plan, migrate_app

pytestmark = pytest.mark.django_db(transaction=True)

POSTGRESQL = {
    "tables": "SELECT relname, relkind, reloptions, relpersistence, relreplident, relrowsecurity, relacl::text,"
    " relowner FROM pg_class WHERE relnamespace = %s::regnamespace",
    "columns": "SELECT relname, attname, attnum, format_type(atttypid, atttypmod), attnotnull, attidentity,"
    " attgenerated, attstorage, attcompression, attstattarget, attcollation, attoptions, attacl::text,"
    " col_description(c.oid, attnum), pg_get_expr(adbin, adrelid) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid"
    " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
    " WHERE relnamespace = %s::regnamespace AND relkind = 'r' AND attnum > 0 AND NOT attisdropped",
    "constraints": "SELECT relname, conname, contype, condeferrable, condeferred, convalidated,"
    " pg_get_constraintdef(co.oid) FROM pg_constraint co JOIN pg_class c ON c.oid = conrelid"
    " WHERE connamespace = %s::regnamespace",
    "indexes": "SELECT relname, indisunique, indisprimary, indisvalid, indoption::text, pg_get_indexdef(indexrelid)"
    " FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = %s::regnamespace",
    "sequences": "SELECT sequencename, start_value, min_value, max_value, increment_by, cycle, cache_size, last_value,"
    " data_type FROM pg_sequences WHERE schemaname = %s",
    "owners of sequences": "SELECT s.relname, t.relname, attname, deptype FROM pg_class s"
    " JOIN pg_depend ON objid = s.oid AND classid = 'pg_class'::regclass AND refobjsubid > 0"
    " JOIN pg_class t ON t.oid = refobjid"
    " JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid"
    " WHERE s.relkind = 'S' AND s.relnamespace = %s::regnamespace",
}
SQLITE = {
    "objects": "SELECT type, name, tbl_name, sql FROM sqlite_master",
    "sequences": "SELECT name, seq FROM sqlite_sequence",
    "settings": "SELECT * FROM pragma_journal_mode, pragma_user_version, pragma_auto_vacuum, pragma_page_size",
}
# PostgreSQL spells out the casts of a condition once more when it reads its own description.
SPELLING = r"::(text|character varying)(\[\])?|[()]"


def catalog(schema: str) -> dict[str, list[Any]]:
    """Everything that the database knows of a schema, whatever the schema is called."""
    found = {}
    with in_schema(schema, include_public=False), connection.cursor() as cursor:
        for what, query in (POSTGRESQL if connection.vendor == "postgresql" else SQLITE).items():
            cursor.execute(query, [schema] if "%s" in query else None)
            found[what] = sorted(re.sub(SPELLING, "", repr(row).replace(schema, "SCHEMA")) for row in cursor.fetchall())
        cursor.execute("SELECT app, name FROM django_migrations ORDER BY app, name")
        found["migrations"] = cursor.fetchall()
    return found


@pytest.fixture
def migrated() -> Iterator[str]:
    """By Django's own executor."""
    connection.schemas.create("app_migrated")
    with in_schema("app_migrated", include_public=False):
        executor = MigrationExecutor(connection)
        labels = {config.label for config in apps.get_app_configs() if config.name in settings.TENANT_APPS}
        executor.migrate([leaf for leaf in executor.loader.graph.leaf_nodes() if leaf[0] in labels])
    yield "app_migrated"
    connection.schemas.drop("app_migrated")


def test_a_new_app_has_exactly_what_migrations_make(migrated: str) -> None:
    app = lifecycle.create("copied", by="tests")
    made, copied = catalog(migrated), catalog(app.schema_name)
    for what in made:
        assert made[what], what
        assert copied[what] == made[what], what


def test_a_new_app_is_up_to_date() -> None:
    assert lifecycle.create("copied", by="tests").migrations == Plan.of_code().digest
    assert migrate_app("app_copied") == Plan.of_code().digest


def test_what_is_copied_over_what_is_there_is_refused() -> None:
    app = lifecycle.create("copied", by="tests")
    [name] = connection.schemas.names(template.PREFIX)
    with pytest.raises(SchemaExists):
        connection.schemas.copy(name, app.schema_name)


def test_a_template_that_was_being_made_when_its_process_was_killed_is_made_again() -> None:
    for name in connection.schemas.names(template.PREFIX):
        connection.schemas.drop(name)
    connection.schemas.create(template.DRAFT)
    lifecycle.create("copied", by="tests")
    [name] = connection.schemas.names(template.PREFIX)
    assert name == f"{template.PREFIX}{Plan.of_code().digest[:24]}"


def test_templates_of_other_versions_go_when_apps_are_brought_up_to_date() -> None:
    connection.schemas.create(f"{template.PREFIX}old")
    template.drop_others()
    assert connection.schemas.names(template.PREFIX) == [f"{template.PREFIX}{Plan.of_code().digest[:24]}"]


@pytest.mark.parametrize(
    "strange",
    [
        "CREATE VIEW {}.v AS SELECT 1",
        "CREATE FUNCTION {}.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE TYPE {}.t AS ENUM ('a')",
        "CREATE SEQUENCE {}.s",
    ],
)
def test_a_schema_that_has_what_a_copy_would_lack_is_refused(strange: str, on_postgresql: bool) -> None:
    if not on_postgresql:
        pytest.skip("a copied file lacks nothing")
    connection.schemas.create("template_strange")
    try:
        with connection.cursor() as cursor:
            cursor.execute(strange.format("template_strange"))
            with pytest.raises(clone.CannotClone):
                clone.statements(cursor, "template_strange", "app_copy")
    finally:
        connection.schemas.drop("template_strange")
