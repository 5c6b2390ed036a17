"""Introspection that sees only the schema the connection is in, as django-tenants' does on PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from django.db.backends.sqlite3 import introspection

if TYPE_CHECKING:
    from apps.tenancy.backends.sqlite.base import DatabaseWrapper


class DatabaseIntrospection(introspection.DatabaseIntrospection):
    """`PRAGMA table_info(name)` and its like fall through to the attached shared file; here they do not."""

    connection: DatabaseWrapper

    def _refuse_shared(self, cursor: Any, table_name: str) -> None:
        cursor.execute("SELECT 1 FROM main.sqlite_master WHERE type IN ('table', 'view') AND name = %s", [table_name])
        if cursor.fetchone() is None:
            raise DatabaseError(f"Table {table_name} does not exist in schema {self.connection.schema_name}.")

    def get_table_description(self, cursor: Any, table_name: Any) -> Any:
        self._refuse_shared(cursor, table_name)
        return super().get_table_description(cursor, table_name)

    def get_relations(self, cursor: Any, table_name: Any) -> Any:
        self._refuse_shared(cursor, table_name)
        return super().get_relations(cursor, table_name)

    def get_constraints(self, cursor: Any, table_name: Any) -> Any:
        self._refuse_shared(cursor, table_name)
        return super().get_constraints(cursor, table_name)

    def get_primary_key_columns(self, cursor: Any, table_name: Any) -> Any:
        self._refuse_shared(cursor, table_name)
        return super().get_primary_key_columns(cursor, table_name)
